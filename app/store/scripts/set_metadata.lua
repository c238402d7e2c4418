-- Replace the metadata of a conversation of /v1, if it still exists.
-- KEYS: record
-- ARGV: the metadata
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('HSET', KEYS[1], 'metadata', ARGV[1])
end
