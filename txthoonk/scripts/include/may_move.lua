-- Meets what would refuse to take ids out of a hash and a sorted set, or to add them to that,
-- and so to take back either. No id has a NUL: it changes nothing.
local function may_move(hash, sorted)
  redis.call('HDEL', hash, '\0')
  redis.call('ZREM', sorted, '\0')
  redis.call('ZADD', sorted, 'XX', 0, '\0')
end
