-- Find the turns of a shard whose leases have expired, longest ago first.
-- KEYS: running turns
-- ARGV: how many at most
-- Returns turn ids, each followed by the end of its lease in ms.
local running_turns, limit = KEYS[1], ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('ZRANGEBYSCORE', running_turns, '-inf', now, 'WITHSCORES', 'LIMIT', 0, limit)
