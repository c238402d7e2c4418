-- Ask a running turn's owner to stop it; the first to ask says what for.
-- KEYS: running
-- ARGV: turn id, what for
if redis.call('HGET', KEYS[1], 'turn_id') == ARGV[1] then
  redis.call('HSETNX', KEYS[1], 'stop', ARGV[2])
end
