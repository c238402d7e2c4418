-- Mark for a while that a turn has a reader on another process than its owner. The owner is notified when the
-- first remote reader comes and when the last one goes.
-- KEYS: running
-- ARGV: turn id, ms, prefix of owners' channels
local running = KEYS[1]
local turn_id, mark_ms, channels = ARGV[1], ARGV[2], ARGV[3]
local fields = redis.call('HMGET', running, 'turn_id', 'owner', 'remote_reader_until')
local running_id, owner, marked_until = fields[1], fields[2], fields[3]
if running_id == turn_id then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  redis.call('HSET', running, 'remote_reader_until', now + mark_ms)
  if mark_ms == '0' or tonumber(marked_until) < now then
    redis.call('PUBLISH', channels .. owner, turn_id)
  end
end
