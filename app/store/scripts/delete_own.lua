-- Delete a record if it belongs to this user.
-- KEYS: record
-- ARGV: user
if redis.call('HGET', KEYS[1], 'user_id') == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
