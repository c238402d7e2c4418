-- Give titles to conversations. An erased conversation gets none: its text would outlive it.
-- KEYS: titles, conversations
-- ARGV: whether a title that is there is replaced (1 or 0), then each conversation with its title
-- Returns how many of the conversations exist.
local titles_key, conversations_key = KEYS[1], KEYS[2]
local replaces = ARGV[1] == '1'

local existing = 0
for n = 2, #ARGV, 2 do
  local conversation, title = ARGV[n], ARGV[n + 1]
  if redis.call('ZSCORE', conversations_key, conversation) then
    redis.call(replaces and 'HSET' or 'HSETNX', titles_key, conversation, title)
    existing = existing + 1
  end
end
-- The titles are kept as long as the index.
local index_seconds = redis.call('TTL', conversations_key)
if index_seconds >= 0 then
  redis.call('EXPIRE', titles_key, index_seconds)
elseif index_seconds == -1 then
  redis.call('PERSIST', titles_key)
end
return existing
