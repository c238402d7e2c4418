-- Ask a running turn's owner to stop it. The first request gives the reason.
-- KEYS: running
-- ARGV: turn id, reason, prefix of owners' channels
local running = KEYS[1]
local turn_id, reason, channels = ARGV[1], ARGV[2], ARGV[3]
local fields = redis.call('HMGET', running, 'turn_id', 'owner')
local running_id, owner = fields[1], fields[2]
if running_id == turn_id then
  redis.call('HSETNX', running, 'stop', reason)
  redis.call('PUBLISH', channels .. owner, turn_id)
end
