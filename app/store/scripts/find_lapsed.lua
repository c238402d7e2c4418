-- The turns of a shard whose leases have run out, each followed by the end of its lease; longest ago first.
-- KEYS: running turns
-- ARGV: how many at most
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES', 'LIMIT', 0, ARGV[1])
