-- Read a part of a conversation backwards: the last messages before a place.
-- KEYS: messages, running (may be left out)
-- ARGV: position after the last message to read ('': the end), how many messages at most, how many bytes at most (one
--       message is read in any case), id of a turn and role of its message: read what is before that message, which is
--       at the last position or, if older ones were dropped meanwhile, before it ('': read from the position itself)
-- Returns {number of messages, position of the first one that was read, {messages, newest first}, {fields of the running
--         turn}}, or {number of messages, position} if the message was not found from that position on.
local messages_key, running_key = KEYS[1], KEYS[2]
local before, max_count, max_bytes = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local turn_id, role = ARGV[4], ARGV[5]
local max_search_bytes = 1048576

local length = redis.call('LLEN', messages_key)
local position = math.min(before or length, length)
if turn_id ~= '' then
  local looked_at = 0
  local is_found = false
  while position > 0 and not is_found do
    if looked_at > max_search_bytes then
      return {length, position}
    end
    position = position - 1
    local message = redis.call('LINDEX', messages_key, position)
    looked_at = looked_at + #message
    is_found = string.find(message, '"' .. turn_id .. '"', 1, true)
      and string.match(message, '^{%s*"role"%s*:%s*"(%a+)"') == role
  end
end

local messages, bytes = {}, 0
while position > 0 and #messages < max_count do
  local message = redis.call('LINDEX', messages_key, position - 1)
  bytes = bytes + #message
  if bytes > max_bytes and #messages > 0 then
    break
  end
  position = position - 1
  messages[#messages + 1] = message
end
local running = running_key and redis.call('HMGET', running_key, 'turn_id', 'message', 'created_at') or {}
return {length, position, messages, running}
