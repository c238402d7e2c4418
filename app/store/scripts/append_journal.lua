-- Append events to a journal, unless they are there already, or the journal has ended or was erased.
-- KEYS: events
-- ARGV: number of the event before the first one, number of the last one, the events
-- Returns the number of the last event that does not have to be written any more. It is smaller than the number
-- before the first one if Redis has lost events, as in a failover.
local events = KEYS[1]
local before, last, packed = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local newest = redis.call('XREVRANGE', events, '+', '-', 'COUNT', 1)[1]
if newest then
  local stored = tonumber(string.match(newest[1], '%d+'))
  if stored < before then
    return stored
  end
  if stored < last then
    redis.call('XADD', events, ARGV[2] .. '-0', 'z', packed)
  end
end
return last
