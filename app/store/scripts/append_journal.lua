-- Write the next events of a journal, unless they are there already, or it has ended or was erased.
-- KEYS: events
-- ARGV: number of the event before the first of them, number of the last, the events
-- Returns up to which number nothing has to be written: where Redis has lost some of it, as in a failover, this is
-- less than the number before the first.
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if last then
  local number = tonumber(string.match(last[1], '%d+'))
  if number < tonumber(ARGV[1]) then
    return number
  end
  if number < tonumber(ARGV[2]) then
    redis.call('XADD', KEYS[1], ARGV[2] .. '-0', 'z', ARGV[3])
  end
end
return tonumber(ARGV[2])
