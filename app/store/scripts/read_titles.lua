-- Read the titles of conversations and, of those that have none, the beginning of their first message.
-- KEYS: titles, then the messages of each conversation
-- ARGV: bytes of a first message to return at most, then each conversation
-- Returns for each conversation {its title ('': none), the beginning of its first message ('': not needed, or none)}.
local titles_key, max_bytes = KEYS[1], tonumber(ARGV[1])

local found = {}
for n = 2, #ARGV do
  local title = redis.call('HGET', titles_key, ARGV[n])
  local first = not title and redis.call('LINDEX', KEYS[n], 0)
  table.insert(found, {title or '', first and string.sub(first, 1, max_bytes) or ''})
end
return found
