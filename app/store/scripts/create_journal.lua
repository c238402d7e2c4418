-- Create a journal, once, and put its turn into the index of leases.
-- KEYS: record, events, running turns, running (left out if it is on another server)
-- ARGV: turn id, end of the lease in ms ('': that of the running turn; if another turn is running, or none, nothing is
--       created), id of the first entry, user, conversation, seconds to keep the record, seconds to keep the events,
--       scope ('': none)
local record, events, running_turns, running = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local turn_id, lease_until, created_id, user_id, conversation_id = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local record_seconds, events_seconds, scope = ARGV[6], ARGV[7], ARGV[8]
if running then
  local lease = redis.call('HMGET', running, 'turn_id', 'lease_until')
  if lease[1] ~= turn_id then
    return
  end
  lease_until = lease[2]
end
if redis.call('EXISTS', record) == 0 then
  redis.call('HSET', record, 'user_id', user_id, 'conversation_id', conversation_id)
  if scope ~= '' then
    redis.call('HSET', record, 'scope', scope)
  end
  redis.call('EXPIRE', record, record_seconds)
  redis.call('XADD', events, created_id, 'created', '')
  redis.call('EXPIRE', events, events_seconds)
  redis.call('ZADD', running_turns, lease_until, turn_id)
end
