-- Delete an item of a conversation of /v1, and its text from the conversation's messages.
-- KEYS: items, order of items, messages
-- ARGV: id of the item, the turn in its message ('': it is no message), role, its content as JSON, what the other items of
--       the same turn and role say, as JSON ('': nothing)
-- Returns 1, or 0 if there is no such item.
local items_key, order_key, messages_key = KEYS[1], KEYS[2], KEYS[3]
local item_id, turn_id, role, content, rest = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

if redis.call('HEXISTS', items_key, item_id) == 0 then
  return 0
end
redis.call('HINCRBY', items_key, 'bytes', -redis.call('HSTRLEN', items_key, item_id))
redis.call('HDEL', items_key, item_id)
redis.call('ZREM', order_key, item_id)
if turn_id == '' then
  return 1
end
-- In a string of JSON every quote is escaped, so that no text can pass for the field.
local start = '{"role":"' .. role .. '","content":'
local field = ',"turn_id":"' .. turn_id .. '"'
local found, found_stop
for n = redis.call('LLEN', messages_key) - 1, 0, -1 do
  local message = redis.call('LINDEX', messages_key, n)
  local stop = string.find(message, field, 1, true)
  if stop and string.sub(message, 1, #start) == start then
    found, found_stop = n, stop
    if string.sub(message, #start + 1, stop - 1) == content then
      rest = ''
      break
    end
  end
end
if found and rest == '' then
  redis.call('LSET', messages_key, found, item_id)
  redis.call('LREM', messages_key, 1, item_id)
elseif found then
  local message = redis.call('LINDEX', messages_key, found)
  redis.call('LSET', messages_key, found, start .. rest .. string.sub(message, found_stop))
end
return 1
