-- Say for a while that a turn has a reader on another process than its owner's; its owner is told of the first
-- one that comes and of the last one that goes.
-- KEYS: running
-- ARGV: turn id, ms, prefix of owners' channels
local running = redis.call('HMGET', KEYS[1], 'turn_id', 'owner', 'remote_reader_until')
if running[1] == ARGV[1] then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  redis.call('HSET', KEYS[1], 'remote_reader_until', now + ARGV[2])
  if ARGV[2] == '0' or tonumber(running[3]) < now then
    redis.call('PUBLISH', ARGV[3] .. running[2], ARGV[1])
  end
end
