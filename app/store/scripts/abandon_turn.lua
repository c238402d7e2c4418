-- Take back the start of a turn: nothing of it is left behind.
-- KEYS: running, request, conversations, messages, active turns
-- ARGV: turn id, conversation, whether it must have lapsed (1 or 0)
-- Returns 'alive', 'read' where a reader elsewhere is waiting for it, else 'unread'.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local running = redis.call('HMGET', KEYS[1], 'turn_id', 'lease_until', 'remote_reader_until')
if running[1] == ARGV[1] and ARGV[3] == '1' and tonumber(running[2]) >= now then
  return 'alive'
end
redis.call('ZREM', KEYS[5], ARGV[1])
if redis.call('HGET', KEYS[2], 'turn_id') == ARGV[1] then
  redis.call('DEL', KEYS[2])
end
if running[1] ~= ARGV[1] then
  return 'unread'
end
redis.call('DEL', KEYS[1])
if redis.call('EXISTS', KEYS[4]) == 0 then
  redis.call('ZREM', KEYS[3], ARGV[2])
end
return tonumber(running[3]) >= now and 'read' or 'unread'
