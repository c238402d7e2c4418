-- Renew a running turn's lease, and see what has become of it.
-- KEYS: running, closed, active turns
-- ARGV: turn id, lease in ms, whether its owner has a reader (1 or 0)
-- Returns {'held', what it is asked to stop for or '', whether a reader elsewhere is there (1 or 0), lease's end},
--         {'closed', its end} or {'lost'}.
local running = redis.call('HMGET', KEYS[1], 'turn_id', 'stop', 'remote_reader_until')
if running[1] ~= ARGV[1] then
  local how = redis.call('GET', KEYS[2])
  if how then
    return {'closed', how}
  end
  return {'lost'}
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'lease_until', now + ARGV[2], 'has_reader', ARGV[3])
redis.call('ZADD', KEYS[3], now + ARGV[2], ARGV[1])
return {'held', running[2] or '', tonumber(running[3]) >= now and '1' or '0', now + ARGV[2]}
