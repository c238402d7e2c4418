-- Drop a conversation's newest messages, and what is known of recent turns, once their journals are erased.
-- KEYS: messages, recent turns
-- ARGV: messages to drop, how many there were, the newest one's turn ('': it names none), then ids of recent turns
-- Drops no message if any was appended or trimmed meanwhile.
local messages_key, recent_key = KEYS[1], KEYS[2]
local count, length, newest_id = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local first_recent = 4

if count > 0 and redis.call('LLEN', messages_key) == length then
  local newest = redis.call('LINDEX', messages_key, -1)
  if string.find(newest, '"' .. newest_id, 1, true) then
    redis.call('LTRIM', messages_key, 0, -count - 1)
  end
end
if #ARGV >= first_recent then
  redis.call('ZREM', recent_key, unpack(ARGV, first_recent))
end
