-- Take a conversation out of the index if nothing of it is left.
-- KEYS: conversations, messages, running, sizes, titles, order of items
-- ARGV: conversation
-- Returns 1 if it was taken out, otherwise 0.
local conversations_key, messages_key, running_key, sizes_key, titles_key, order_key = unpack(KEYS)
local conversation = ARGV[1]

if redis.call('EXISTS', messages_key, running_key, order_key) > 0 then
  return 0
end
redis.call('HDEL', sizes_key, conversation)
redis.call('HDEL', titles_key, conversation)
return redis.call('ZREM', conversations_key, conversation)
