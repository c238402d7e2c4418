-- Begin a journal, once, however often it is repeated.
-- KEYS: record, events
-- ARGV: id of the first entry, user, conversation, seconds to keep the record, seconds to keep the events
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'user_id', ARGV[2], 'conversation_id', ARGV[3])
  redis.call('EXPIRE', KEYS[1], ARGV[4])
  redis.call('XADD', KEYS[2], ARGV[1], 'created', '')
  redis.call('EXPIRE', KEYS[2], ARGV[5])
end
