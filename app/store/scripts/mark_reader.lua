-- Say for a while that a turn has a reader on another process than its owner's.
-- KEYS: running
-- ARGV: turn id, ms
if redis.call('HGET', KEYS[1], 'turn_id') == ARGV[1] then
  local time = redis.call('TIME')
  redis.call('HSET', KEYS[1], 'remote_reader_until', time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2])
end
