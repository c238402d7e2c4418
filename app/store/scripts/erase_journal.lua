-- Erase a journal. Of one that has not ended the end alone is left for a while, for those who are reading it.
-- KEYS: record, events
-- ARGV: the id of the end, the end, ms to keep it
local has_ended = redis.call('HEXISTS', KEYS[1], 'status') == 1
redis.call('DEL', KEYS[1])
-- It fails where the journal was erased before, and its end stands for those who are reading it.
local added = redis.pcall('XADD', KEYS[2], 'NOMKSTREAM', ARGV[1], 'end', ARGV[2])
if has_ended or not added then
  redis.call('DEL', KEYS[2])
elseif type(added) == 'string' then
  redis.call('XTRIM', KEYS[2], 'MAXLEN', 1)
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
end
