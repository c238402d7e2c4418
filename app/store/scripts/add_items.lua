-- Append items that a client has sent to a conversation of /v1, and those that are messages to its messages.
-- KEYS: items, order of items, messages, conversations
-- ARGV: conversation, seconds to keep it (0: for ever), items and messages to keep at most, bytes of either to keep at
--       most, number of items, then an id and a text for each, then the messages
-- Returns 1, or 0 if there is no such conversation.
local items_key, order_key, messages_key, conversations_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local conversation, history_seconds = ARGV[1], tonumber(ARGV[2])
local max_count, max_bytes, item_count = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local first_item = 6
local first_message = first_item + 2 * item_count

if redis.call('EXISTS', order_key) == 0 then
  return 0
end
local time = redis.call('TIME')
redis.call('ZADD', conversations_key, time[1] * 1000 + math.floor(time[2] / 1000), conversation)
local newest = redis.call('ZREVRANGE', order_key, 0, 0, 'WITHSCORES')
local is_new = false
for n = first_item, first_message - 1, 2 do
  redis.call('ZADD', order_key, 'NX', tonumber(newest[2]) + n, ARGV[n])
  if redis.call('HSETNX', items_key, ARGV[n], ARGV[n + 1]) == 1 then
    redis.call('HINCRBY', items_key, 'bytes', #ARGV[n + 1])
    is_new = true
  end
end
-- A repetition whose reply was lost has appended the messages already.
if is_new then
  for n = first_message, #ARGV do
    redis.call('RPUSH', messages_key, ARGV[n])
  end
end
local left = redis.call('ZCARD', order_key) - 1
while left > 2 and (left > max_count or tonumber(redis.call('HGET', items_key, 'bytes')) > max_bytes) do
  local oldest = redis.call('ZRANGE', order_key, 1, 1)[1]
  redis.call('HINCRBY', items_key, 'bytes', -redis.call('HSTRLEN', items_key, oldest))
  redis.call('HDEL', items_key, oldest)
  redis.call('ZREM', order_key, oldest)
  left = left - 1
end
-- Count the messages from the newest, only as far as any are kept.
local length, counted, bytes = redis.call('LLEN', messages_key), 0, 0
while counted < length and counted < max_count do
  bytes = bytes + #redis.call('LINDEX', messages_key, -counted - 1)
  if counted >= 2 and bytes > max_bytes then
    break
  end
  counted = counted + 1
end
redis.call('LTRIM', messages_key, -math.max(counted, 1), -1)
for _, key in ipairs({items_key, order_key, messages_key}) do
  if history_seconds > 0 then
    redis.call('EXPIRE', key, history_seconds)
  else
    redis.call('PERSIST', key)
  end
end
local index_left = redis.call('TTL', conversations_key)
if index_left >= 0 and history_seconds == 0 then
  redis.call('PERSIST', conversations_key)
elseif index_left >= 0 and index_left < history_seconds then
  redis.call('EXPIRE', conversations_key, history_seconds)
end
return 1
