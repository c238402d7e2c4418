-- Ask a running turn's owner to stop it; the first to ask says what for.
-- KEYS: running
-- ARGV: turn id, what for, prefix of owners' channels
local running = redis.call('HMGET', KEYS[1], 'turn_id', 'owner')
if running[1] == ARGV[1] then
  redis.call('HSETNX', KEYS[1], 'stop', ARGV[2])
  redis.call('PUBLISH', ARGV[3] .. running[2], ARGV[1])
end
