-- Read which turns a conversation's newest messages are of, and which other turns may still have a journal.
-- KEYS: running, messages, recent turns
-- ARGV: how many messages and recent turns at most, how many bytes of messages to look through at most
-- Returns {the running turn or '', number of messages, {the turn of each message or '', newest first}, {recent turns}}.
local running_key, messages_key, recent_key = unpack(KEYS)
local max_count, max_bytes = tonumber(ARGV[1]), tonumber(ARGV[2])

-- In a string of JSON every quote is escaped, so that no text can pass for the field. A plain search is far faster than
-- a pattern.
local function turn_of(message)
  local stop = 0
  repeat
    local _
    _, stop = string.find(message, '"turn_id"', stop + 1, true)
    local turn_id = stop and string.match(message, '^%s*:%s*"([^"]*)"', stop + 1)
    if turn_id then
      return turn_id
    end
  until not stop
  return ''
end

local length = redis.call('LLEN', messages_key)
local turns, bytes = {}, 0
while #turns < math.min(length, max_count) and bytes < max_bytes do
  local message = redis.call('LINDEX', messages_key, -#turns - 1)
  bytes = bytes + #message
  turns[#turns + 1] = turn_of(message)
end
local running_id = redis.call('HGET', running_key, 'turn_id') or ''
return {running_id, length, turns, redis.call('ZRANGE', recent_key, 0, max_count - 1)}
