-- Begin a conversation of /v1 without items.
-- KEYS: conversations, order of items
-- ARGV: conversation, seconds to keep it (0: for ever), conversations that a user may have (0: any number)
-- Returns 1, or 0 if the user has as many conversations as there may be.
local conversations_key, order_key = KEYS[1], KEYS[2]
local conversation, history_seconds, max_conversations = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

if redis.call('EXISTS', order_key) == 1 then
  return 1
end
if max_conversations > 0 and redis.call('ZCARD', conversations_key) >= max_conversations then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local index_left = redis.call('TTL', conversations_key)
redis.call('ZADD', conversations_key, now, conversation)
-- The index is kept for as long as the conversation in it that is kept longest: its time is never shortened.
if history_seconds == 0 then
  redis.call('PERSIST', conversations_key)
elseif index_left == -2 or (index_left >= 0 and index_left < history_seconds) then
  redis.call('EXPIRE', conversations_key, history_seconds)
end
-- Its first member stands for the conversation itself.
redis.call('ZADD', order_key, 0, '')
if history_seconds > 0 then
  redis.call('EXPIRE', order_key, history_seconds)
end
return 1
