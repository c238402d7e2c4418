-- Append both messages of a turn and release its conversation in one step, once, however often it is repeated.
-- KEYS: running, closed, messages, conversations, recent turns, active turns
-- ARGV: turn id, the turn's end, whether it must have lapsed (1 or 0), seconds to keep the mark `closed`,
--       conversation, messages to keep at most, seconds to keep them (0: for ever), user message, assistant message
-- Returns {'closed', its end}, {'closed before', its end}, {'alive'} or {'lost'}.
local how = redis.call('GET', KEYS[2])
if how then
  -- Also where an earlier attempt has failed half-way: its conversation is not held for ever.
  if redis.call('HGET', KEYS[1], 'turn_id') == ARGV[1] then
    redis.call('DEL', KEYS[1])
  end
  return {'closed before', how}
end
local running = redis.call('HMGET', KEYS[1], 'turn_id', 'lease_until')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[3] == '1' then
  if running[1] ~= ARGV[1] then
    return {'lost'}
  end
  if tonumber(running[2]) >= now then
    return {'alive'}
  end
end
-- The mark comes after the messages: a script that fails half-way keeps what it has written so far.
redis.call('RPUSH', KEYS[3], ARGV[8], ARGV[9])
redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[4])
-- An owner that was taken for dead before its turn was known to have begun has lost the conversation, not the turn.
if running[1] == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
redis.call('ZREM', KEYS[6], ARGV[1])
redis.call('ZADD', KEYS[4], now, ARGV[5])
-- The mark `closed` outlives the turn's journal.
redis.call('ZADD', KEYS[5], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', now - ARGV[4] * 1000)
redis.call('EXPIRE', KEYS[5], ARGV[4])
-- Messages come in pairs, so an even limit drops whole turns.
local limit = tonumber(ARGV[6])
redis.call('LTRIM', KEYS[3], -(limit - limit % 2), -1)
if tonumber(ARGV[7]) > 0 then
  redis.call('EXPIRE', KEYS[3], ARGV[7])
  redis.call('EXPIRE', KEYS[4], ARGV[7])
  -- Conversations whose messages have lapsed by now.
  redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now - ARGV[7] * 1000)
else
  redis.call('PERSIST', KEYS[3])
end
return {'closed', ARGV[2]}
