-- Write a journal's end, once, and let it lapse from then on. One that was erased is not made again.
-- KEYS: record, events, running turns
-- ARGV: turn id, the id of the end, the end, its status, ms to keep the events, ms to keep the record, number of the
--       last event that has to be there
-- Returns that number, or up to which one the journal is written where Redis has lost some of it; it stays open then.
if redis.call('EXISTS', KEYS[1]) == 1 and redis.call('HEXISTS', KEYS[1], 'status') == 0 then
  local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
  local number = last and tonumber(string.match(last[1], '%d+'))
  if number and number < tonumber(ARGV[7]) then
    return number
  end
  redis.call('HSET', KEYS[1], 'status', ARGV[4])
  redis.call('PEXPIRE', KEYS[1], ARGV[6])
  redis.call('XADD', KEYS[2], 'NOMKSTREAM', ARGV[2], 'end', ARGV[3])
  redis.call('PEXPIRE', KEYS[2], ARGV[5])
end
redis.call('ZREM', KEYS[3], ARGV[1])
return tonumber(ARGV[7])
