-- Undo the start of a turn: nothing of it is left behind, and it does not count in its minute.
-- KEYS: running, request, conversations, messages, active turns, started turns, order of items
-- ARGV: turn id, conversation, whether it must have lapsed (1 or 0)
-- Returns 'alive', 'read' if a reader on another process is waiting for it, otherwise 'unread'.
local running_key, request_key, conversations_key, messages_key, active_key, started_key, order_key = unpack(KEYS)
local turn_id, conversation, must_have_lapsed = ARGV[1], ARGV[2], ARGV[3] == '1'

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local running = redis.call('HMGET', running_key, 'turn_id', 'lease_until', 'remote_reader_until', 'counted_until')
local running_id, lease_until, remote_reader_until, counted_until = unpack(running, 1, 4)
if running_id == turn_id and must_have_lapsed and tonumber(lease_until) >= now then
  return 'alive'
end
redis.call('ZREM', active_key, turn_id)
if redis.call('HGET', request_key, 'turn_id') == turn_id then
  redis.call('DEL', request_key)
end
if running_id ~= turn_id then
  return 'unread'
end
if counted_until and tonumber(counted_until) > now and tonumber(redis.call('GET', started_key) or '0') > 0 then
  if redis.call('DECR', started_key) == 0 then
    redis.call('DEL', started_key)
  end
end
redis.call('DEL', running_key)
if redis.call('EXISTS', messages_key, order_key) == 0 then
  redis.call('ZREM', conversations_key, conversation)
end
return tonumber(remote_reader_until) >= now and 'read' or 'unread'
