-- Append both messages of a turn in one step, once, however often the step is repeated.
-- KEYS: messages, the mark that the turn is stored
-- ARGV: user message, assistant message, messages to keep at most, seconds to keep them (0: for ever),
--       seconds to keep the mark
if redis.call('EXISTS', KEYS[2]) == 1 then
  return
end
-- The mark comes after the messages: a script that fails half-way keeps what it has written so far.
redis.call('RPUSH', KEYS[1], ARGV[1], ARGV[2])
redis.call('SET', KEYS[2], '1', 'EX', ARGV[5])
-- Messages come in pairs, so an even limit drops whole turns.
local limit = tonumber(ARGV[3])
redis.call('LTRIM', KEYS[1], -(limit - limit % 2), -1)
if tonumber(ARGV[4]) > 0 then
  redis.call('EXPIRE', KEYS[1], ARGV[4])
else
  redis.call('PERSIST', KEYS[1])
end
