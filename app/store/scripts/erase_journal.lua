-- Erase a journal. If it has not ended, its end alone stays for a while, for its readers.
-- KEYS: record, events
-- ARGV: the id of the end, the end, ms to keep it
local record_key, events_key = KEYS[1], KEYS[2]
local end_id, turn_end, end_ms = ARGV[1], ARGV[2], ARGV[3]

local has_ended = redis.call('HEXISTS', record_key, 'status') == 1
redis.call('DEL', record_key)
-- This fails if the journal was erased before; its end is still there for its readers.
local added = redis.pcall('XADD', events_key, 'NOMKSTREAM', end_id, 'end', turn_end)
if has_ended or not added then
  redis.call('DEL', events_key)
elseif type(added) == 'string' then
  redis.call('XTRIM', events_key, 'MAXLEN', 1)
  redis.call('PEXPIRE', events_key, end_ms)
end
