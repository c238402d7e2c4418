-- Write a journal's end, once, and let it lapse from then on. One that was erased is not made again.
-- KEYS: record, events
-- ARGV: the id of the end, the end, its status, ms to keep the events, ms to keep the record
if redis.call('EXISTS', KEYS[1]) == 0 or redis.call('HSETNX', KEYS[1], 'status', ARGV[3]) == 0 then
  return
end
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('XADD', KEYS[2], 'NOMKSTREAM', ARGV[1], 'end', ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
