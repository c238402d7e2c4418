-- Append both messages of a turn and release its conversation in one step, once, however often it is repeated.
-- KEYS: running, closed, messages, conversations, recent turns, active turns, sizes, titles, items, order of items
-- ARGV: turn id, the turn's end, whether it must have lapsed (1 or 0), seconds to keep the mark `closed`,
--       conversation ('': no history keeps the turn), messages to keep at most, bytes to keep at most, seconds to keep them (0: for ever),
--       user message ('': there is none), assistant message (as well), then the ids and texts of the items that a
--       conversation of /v1 gets
-- Returns {'closed'}, {'closed before', its end}, {'alive'} or {'lost'}.
local running_key, closed_key, messages_key, conversations_key = unpack(KEYS, 1, 4)
local recent_key, active_key, sizes_key, titles_key, items_key, order_key = unpack(KEYS, 5)
local turn_id, turn_end, must_have_lapsed, closed_seconds = ARGV[1], ARGV[2], ARGV[3] == '1', tonumber(ARGV[4])
local conversation, max_messages, max_bytes = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
local history_seconds, question, answer = tonumber(ARGV[8]), ARGV[9], ARGV[10]
local first_item = 11

local closed = redis.call('GET', closed_key)
if closed then
  -- An earlier attempt may have failed half-way: its conversation must not be held for ever.
  if redis.call('HGET', running_key, 'turn_id') == turn_id then
    redis.call('DEL', running_key)
  end
  return {'closed before', closed}
end
local running = redis.call('HMGET', running_key, 'turn_id', 'lease_until')
local running_id, lease_until = running[1], running[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if must_have_lapsed then
  if running_id ~= turn_id then
    return {'lost'}
  end
  if tonumber(lease_until) >= now then
    return {'alive'}
  end
end

-- The mark `closed` outlives the turn's journal.
local function note_recent()
  redis.call('ZADD', recent_key, now, turn_id)
  redis.call('ZREMRANGEBYSCORE', recent_key, '-inf', now - closed_seconds * 1000)
  redis.call('EXPIRE', recent_key, closed_seconds)
end

if conversation == '' then
  redis.call('SET', closed_key, turn_end, 'EX', closed_seconds)
  if running_id == turn_id then
    redis.call('DEL', running_key)
  end
  redis.call('ZREM', active_key, turn_id)
  note_recent()
  return {'closed'}
end

-- The conversation's bytes up to here, if the turn that they were counted with is still its last one. A release that
-- does not count may have written since.
local bytes
local last = redis.call('LINDEX', messages_key, -1)
if last then
  local counted, counted_id = string.match(redis.call('HGET', sizes_key, conversation) or '', '^(%d+):(.+)$')
  if counted and string.find(last, '"' .. counted_id .. '"', 1, true) then
    bytes = tonumber(counted)
  end
else
  bytes = 0
end

-- The mark comes after the messages: a script that fails half-way keeps what it has written so far.
for _, message in ipairs({question, answer}) do
  if message ~= '' then
    redis.call('RPUSH', messages_key, message)
  end
end
if #ARGV >= first_item and redis.call('EXISTS', order_key) == 1 then
  local newest = redis.call('ZREVRANGE', order_key, 0, 0, 'WITHSCORES')
  for n = first_item, #ARGV, 2 do
    redis.call('ZADD', order_key, 'NX', tonumber(newest[2]) + n, ARGV[n])
    if redis.call('HSETNX', items_key, ARGV[n], ARGV[n + 1]) == 1 then
      redis.call('HINCRBY', items_key, 'bytes', #ARGV[n + 1])
    end
  end
  -- Drop the oldest items. The first member of the order stands for the conversation itself.
  local item_count = redis.call('ZCARD', order_key) - 1
  while item_count > 2 and (item_count > max_messages or tonumber(redis.call('HGET', items_key, 'bytes')) > max_bytes) do
    local oldest = redis.call('ZRANGE', order_key, 1, 1)[1]
    redis.call('HINCRBY', items_key, 'bytes', -redis.call('HSTRLEN', items_key, oldest))
    redis.call('HDEL', items_key, oldest)
    redis.call('ZREM', order_key, oldest)
    item_count = item_count - 1
  end
end
redis.call('SET', closed_key, turn_end, 'EX', closed_seconds)
-- An owner that was taken for dead before its turn was known to have begun has lost the conversation, not the turn.
if running_id == turn_id then
  redis.call('DEL', running_key)
end
redis.call('ZREM', active_key, turn_id)
local index_left = redis.call('TTL', conversations_key)
redis.call('ZADD', conversations_key, now, conversation)
note_recent()

local length = redis.call('LLEN', messages_key)
if bytes then
  bytes = bytes + #question + #answer
else
  -- Count from the newest, only as far as anything is kept.
  bytes = 0
  local counted = 0
  while counted < length and counted < max_messages do
    local size = #redis.call('LINDEX', messages_key, -counted - 1)
    if counted >= 2 and bytes + size > max_bytes then
      break
    end
    counted, bytes = counted + 1, bytes + size
  end
  redis.call('LTRIM', messages_key, -counted, -1)
  length = counted
end
-- Drop the oldest turns, never the newest one. An answer goes with its question.
local first = redis.call('LINDEX', messages_key, 0)
while length > 2 and (length > max_messages or bytes > max_bytes or string.find(first, '^{"role":"assistant"')) do
  redis.call('LPOP', messages_key)
  length, bytes = length - 1, bytes - #first
  first = redis.call('LINDEX', messages_key, 0)
end
redis.call('HSET', sizes_key, conversation, string.format('%d:%s', bytes, turn_id))

if history_seconds > 0 then
  redis.call('EXPIRE', messages_key, history_seconds)
  redis.call('EXPIRE', sizes_key, history_seconds)
  redis.call('EXPIRE', items_key, history_seconds)
  redis.call('EXPIRE', order_key, history_seconds)
  -- The index is kept for as long as the conversation in it that is kept longest: its time is never shortened.
  if index_left == -2 or (index_left >= 0 and index_left < history_seconds) then
    redis.call('EXPIRE', conversations_key, history_seconds)
  end
else
  redis.call('PERSIST', messages_key)
  redis.call('PERSIST', sizes_key)
  redis.call('PERSIST', items_key)
  redis.call('PERSIST', order_key)
  redis.call('PERSIST', conversations_key)
end
-- The titles are kept as long as the index.
local index_seconds = redis.call('TTL', conversations_key)
if index_seconds >= 0 then
  redis.call('EXPIRE', titles_key, index_seconds)
else
  redis.call('PERSIST', titles_key)
end
return {'closed'}
