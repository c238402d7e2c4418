-- Erase a conversation. Its running turn, if it has one, is closed by that: its owner finds the mark.
-- KEYS: running, messages, conversations, closed (of the turn that is thought to run), recent turns,
--       active turns
-- ARGV: conversation, the turn that is thought to run ('': none), its end, seconds to keep the mark
-- Returns 1, or 0 where another turn is running by now.
local running = redis.call('HGET', KEYS[1], 'turn_id') or ''
if running ~= ARGV[2] then
  return 0
end
if running ~= '' then
  redis.call('SET', KEYS[4], ARGV[3], 'EX', ARGV[4])
  redis.call('ZREM', KEYS[6], running)
end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[5])
redis.call('ZREM', KEYS[3], ARGV[1])
return 1
