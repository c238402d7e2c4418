-- Start a turn in a conversation, unless one is running there or this request has started one before.
-- KEYS: running, request, conversations, active turns, started turns, messages
-- ARGV: turn id, lease in ms, fingerprint of the request ('': it has no Idempotency-Key), what
--       to do if a turn is running ('reject', 'reject_if_read' or 'interrupt'), seconds to keep the request,
--       conversation ('': no history keeps the turn), seconds to keep conversations
--       (0: for ever), prefix of owners' channels, turns that may run at once, turns that may be started in a minute,
--       conversations that a user may have (each of the three 0: any number), bytes of the newest messages to read (one
--       message is read in any case; 0: none), then the fields and values that describe the running turn
-- Returns {'started', lease's end, turns started in this minute, ms until the next, position of the oldest message that
--         was read, {messages, newest first}}, {'attached', turn}, {'reused'}, {'busy', turn}, {'lapsed', turn},
--         {'interrupting', turn}, {'too many conversations'}, {'too many'} or {'limited', ms until the next minute}.
local running_key, request_key, conversations_key, active_key, started_key, messages_key = unpack(KEYS)
local turn_id, lease_ms, fingerprint, if_busy = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local request_seconds, conversation, history_seconds = ARGV[5], ARGV[6], tonumber(ARGV[7])
local owner_channels, max_active = ARGV[8], tonumber(ARGV[9])
local max_started, max_conversations, max_bytes = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local first_field = 13
local day_seconds = 86400
local minute_ms = 60000

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function answer_started(lease_until, started, left)
  local messages, bytes = {}, 0
  local position = redis.call('LLEN', messages_key)
  while position > 0 and bytes < max_bytes do
    local message = redis.call('LINDEX', messages_key, position - 1)
    bytes = bytes + #message
    if bytes > max_bytes and #messages > 0 then
      break
    end
    position = position - 1
    messages[#messages + 1] = message
  end
  return {'started', tostring(lease_until), tostring(started), tostring(left), position, messages}
end

if fingerprint ~= '' then
  local request = redis.call('HMGET', request_key, 'fingerprint', 'turn_id')
  if request[1] then
    if request[1] ~= fingerprint then
      return {'reused'}
    end
    -- A repetition of this very start, whose reply was lost, is answered below.
    if request[2] ~= turn_id then
      return {'attached', request[2]}
    end
  end
end

local running = redis.call('HMGET', running_key, 'turn_id', 'lease_until', 'has_reader', 'remote_reader_until', 'owner')
local running_id, lease_until, has_reader, remote_reader_until, owner = unpack(running, 1, 5)
if running_id == turn_id then
  local left = math.max(redis.call('PTTL', started_key), 0)
  return answer_started(lease_until, redis.call('GET', started_key) or '0', left)
end
if running_id then
  if tonumber(lease_until) < now then
    return {'lapsed', running_id}
  end
  local is_read = has_reader == '1' or tonumber(remote_reader_until) >= now
  if if_busy == 'reject' or (if_busy == 'reject_if_read' and is_read) then
    return {'busy', running_id}
  end
  redis.call('HSETNX', running_key, 'stop', 'interrupted')
  redis.call('PUBLISH', owner_channels .. owner, running_id)
  return {'interrupting', running_id}
end

if conversation ~= '' and max_conversations > 0 and redis.call('ZCARD', conversations_key) >= max_conversations
    and not redis.call('ZSCORE', conversations_key, conversation) then
  return {'too many conversations'}
end
-- The turns of processes that have died no longer count once their leases have expired.
redis.call('ZREMRANGEBYSCORE', active_key, '-inf', now)
if max_active > 0 and redis.call('ZCARD', active_key) >= max_active then
  return {'too many'}
end
local started, left = 0, 0
if max_started > 0 then
  started = tonumber(redis.call('GET', started_key) or '0')
  left = redis.call('PTTL', started_key)
  if started >= max_started then
    return {'limited', tostring(left)}
  end
  started = redis.call('INCR', started_key)
  if started == 1 or left < 0 then
    left = minute_ms
    redis.call('PEXPIRE', started_key, left)
  end
end

redis.call('ZADD', active_key, now + lease_ms, turn_id)
redis.call('EXPIRE', active_key, day_seconds)
redis.call('HSET', running_key, 'turn_id', turn_id, 'lease_until', now + lease_ms, 'has_reader', '1',
  'remote_reader_until', '0', unpack(ARGV, first_field))
if max_started > 0 then
  -- A start that fails gives its count back, unless that minute is over by then.
  redis.call('HSET', running_key, 'counted_until', now + left)
end
-- Nothing stays for ever, even if no process is left to close the turn.
redis.call('EXPIRE', running_key, day_seconds)

if conversation ~= '' then
  -- The index is kept for as long as the conversation in it that is kept longest: its time is never shortened.
  local index_left = redis.call('TTL', conversations_key)
  redis.call('ZADD', conversations_key, 'NX', now, conversation)
  if history_seconds == 0 then
    redis.call('PERSIST', conversations_key)
  elseif index_left == -2 or (index_left >= 0 and index_left < history_seconds) then
    redis.call('EXPIRE', conversations_key, history_seconds)
  end
end
if fingerprint ~= '' then
  redis.call('HSET', request_key, 'fingerprint', fingerprint, 'turn_id', turn_id)
  redis.call('EXPIRE', request_key, request_seconds)
end
return answer_started(now + lease_ms, started, left)
