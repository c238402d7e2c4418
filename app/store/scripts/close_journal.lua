-- Write a journal's terminal entry, once, and let the journal expire from then on. An erased one stays erased.
-- KEYS: record, events, running turns, closed (left out if it is on another server)
-- ARGV: turn id, id of the terminal entry, the end, its status, ms to keep the events, ms to keep the record,
--       number of the last event that has to be there, what `closed` has to hold (left out with it)
-- Returns that number. If Redis has lost events, returns the number of the last one it has, and writes nothing. If
-- `closed` holds anything else, the turn is not stored with this end: returns -1, and writes nothing.
local record, events, running_turns, closed = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local turn_id, end_id, turn_end, status = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local events_ms, record_ms, last, mark = ARGV[5], ARGV[6], tonumber(ARGV[7]), ARGV[8]
if closed and redis.call('GET', closed) ~= mark then
  return -1
end
if redis.call('EXISTS', record) == 1 and redis.call('HEXISTS', record, 'status') == 0 then
  local newest = redis.call('XREVRANGE', events, '+', '-', 'COUNT', 1)[1]
  local stored = newest and tonumber(string.match(newest[1], '%d+'))
  if stored and stored < last then
    return stored
  end
  redis.call('HSET', record, 'status', status)
  redis.call('PEXPIRE', record, record_ms)
  redis.call('XADD', events, 'NOMKSTREAM', end_id, 'end', turn_end)
  redis.call('PEXPIRE', events, events_ms)
end
redis.call('ZREM', running_turns, turn_id)
return last
