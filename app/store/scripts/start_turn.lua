-- Start a turn in a conversation, unless one is running there or this request has started one before.
-- KEYS: running, request, conversations, active turns, started turns
-- ARGV: turn id, lease in ms, fingerprint of the request ('': it has no Idempotency-Key), whether a running turn
--       may be interrupted (1 or 0), seconds to keep the request, conversation, seconds to keep conversations
--       (0: for ever), prefix of owners' channels, turns that may run at once and that may be started in a minute
--       (0: any number), then the fields and values that describe the running turn
-- Returns {'started', lease's end, turns started in this minute, ms until the next}, {'attached', turn}, {'reused'},
--         {'busy', turn}, {'lapsed', turn}, {'interrupting', turn}, {'too many'} or {'limited', ms until the next minute}.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[3] ~= '' then
  local request = redis.call('HMGET', KEYS[2], 'fingerprint', 'turn_id')
  if request[1] then
    if request[1] ~= ARGV[3] then
      return {'reused'}
    end
    -- The turn itself is found where this is repeated, as the reply was lost.
    if request[2] ~= ARGV[1] then
      return {'attached', request[2]}
    end
  end
end
local running = redis.call('HMGET', KEYS[1], 'turn_id', 'lease_until', 'has_reader', 'remote_reader_until', 'owner')
if running[1] == ARGV[1] then
  return {'started', running[2], redis.call('GET', KEYS[5]) or '0', tostring(math.max(redis.call('PTTL', KEYS[5]), 0))}
end
if running[1] then
  if tonumber(running[2]) < now then
    return {'lapsed', running[1]}
  end
  if ARGV[4] == '0' and (running[3] == '1' or tonumber(running[4]) >= now) then
    return {'busy', running[1]}
  end
  redis.call('HSETNX', KEYS[1], 'stop', 'interrupted')
  redis.call('PUBLISH', ARGV[8] .. running[5], running[1])
  return {'interrupting', running[1]}
end
-- The turns of processes that have died count no more once their leases are over.
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now)
if tonumber(ARGV[9]) > 0 and redis.call('ZCARD', KEYS[4]) >= tonumber(ARGV[9]) then
  return {'too many'}
end
local started = 0
local left = 0
if tonumber(ARGV[10]) > 0 then
  started = tonumber(redis.call('GET', KEYS[5]) or '0')
  left = redis.call('PTTL', KEYS[5])
  if started >= tonumber(ARGV[10]) then
    return {'limited', tostring(left)}
  end
  started = redis.call('INCR', KEYS[5])
  if started == 1 then
    left = 60000
    redis.call('PEXPIRE', KEYS[5], left)
  end
end
redis.call('ZADD', KEYS[4], now + ARGV[2], ARGV[1])
redis.call('EXPIRE', KEYS[4], 86400)
redis.call('HSET', KEYS[1], 'turn_id', ARGV[1], 'lease_until', now + ARGV[2], 'has_reader', '1',
  'remote_reader_until', '0', unpack(ARGV, 11))
-- Nothing is left for ever, also where no process is left to close it.
redis.call('EXPIRE', KEYS[1], 86400)
redis.call('ZADD', KEYS[3], 'NX', now, ARGV[6])
if tonumber(ARGV[7]) > 0 then
  redis.call('EXPIRE', KEYS[3], ARGV[7])
else
  redis.call('PERSIST', KEYS[3])
end
if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[2], 'fingerprint', ARGV[3], 'turn_id', ARGV[1])
  redis.call('EXPIRE', KEYS[2], ARGV[5])
end
return {'started', tostring(now + ARGV[2]), tostring(started), tostring(left)}
