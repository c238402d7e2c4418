-- Begin a journal, once, however often it is repeated, and let those who look for lapsed leases find its turn.
-- KEYS: record, events, running turns
-- ARGV: turn id, lease's end, id of the first entry, user, conversation, seconds to keep the record,
--       seconds to keep the events
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'user_id', ARGV[4], 'conversation_id', ARGV[5])
  redis.call('EXPIRE', KEYS[1], ARGV[6])
  redis.call('XADD', KEYS[2], ARGV[3], 'created', '')
  redis.call('EXPIRE', KEYS[2], ARGV[7])
  redis.call('ZADD', KEYS[3], ARGV[2], ARGV[1])
end
