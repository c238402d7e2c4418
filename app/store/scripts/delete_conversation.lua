-- Erase a conversation of which no message is left. Its running turn, if it has one, is closed by that: its owner finds
-- the mark.
-- KEYS: running, messages, conversations, closed (of the turn that is thought to run), recent turns, active turns, sizes,
--       titles, items, order of items
-- ARGV: conversation, the turn that is thought to run ('': none), its end, seconds to keep the mark,
--       the channel on which an erasure is announced
-- Returns 1, or 0 if another turn is running or has ended meanwhile.
local running_key, messages_key, conversations_key, closed_key = unpack(KEYS, 1, 4)
local recent_key, active_key, sizes_key, titles_key, items_key, order_key = unpack(KEYS, 5)
local conversation, expected_id, turn_end, closed_seconds, channel = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local running_id = redis.call('HGET', running_key, 'turn_id') or ''
if running_id ~= expected_id or redis.call('EXISTS', messages_key, recent_key) > 0 then
  return 0
end
if running_id ~= '' then
  redis.call('SET', closed_key, turn_end, 'EX', closed_seconds)
  redis.call('ZREM', active_key, running_id)
end
redis.call('DEL', running_key, items_key, order_key)
redis.call('HDEL', sizes_key, conversation)
redis.call('HDEL', titles_key, conversation)
redis.call('ZREM', conversations_key, conversation)
-- A user's rights may not allow the channel: then nothing listens there.
redis.pcall('PUBLISH', channel, '')
return 1
