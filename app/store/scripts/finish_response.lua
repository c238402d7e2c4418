-- Store a response that has ended, once, and how long it is kept. One that was deleted stays deleted.
-- KEYS: response
-- ARGV: the response ('': it is not kept), seconds to keep it (0: for ever)
local response_key = KEYS[1]
local response, seconds = ARGV[1], tonumber(ARGV[2])

if redis.call('EXISTS', response_key) == 0 then
  return
end
if response ~= '' then
  redis.call('HSETNX', response_key, 'result', response)
end
if seconds == 0 then
  redis.call('PERSIST', response_key)
else
  redis.call('EXPIRE', response_key, seconds)
end
