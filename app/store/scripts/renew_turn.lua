-- Renew a running turn's lease, and report what other processes have asked of it.
-- KEYS: running, closed, active turns
-- ARGV: turn id, lease in ms, whether the owner has a reader (1 or 0)
-- Returns {'held', the reason to stop or '', whether a remote reader is there (1 or 0), end of the lease in ms},
--         {'closed', its end} or {'lost'}.
local running, closed, active_turns = KEYS[1], KEYS[2], KEYS[3]
local turn_id, lease_ms, has_reader = ARGV[1], ARGV[2], ARGV[3]
local fields = redis.call('HMGET', running, 'turn_id', 'stop', 'remote_reader_until')
local running_id, stop, marked_until = fields[1], fields[2], fields[3]
if running_id ~= turn_id then
  local turn_end = redis.call('GET', closed)
  if turn_end then
    return {'closed', turn_end}
  end
  return {'lost'}
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease_until = now + lease_ms
redis.call('HSET', running, 'lease_until', lease_until, 'has_reader', has_reader)
redis.call('ZADD', active_turns, lease_until, turn_id)
return {'held', stop or '', tonumber(marked_until) >= now and '1' or '0', lease_until}
