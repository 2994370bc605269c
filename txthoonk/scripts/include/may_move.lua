-- Fails if Redis refuses to remove from a hash or a sorted set, or to add to the sorted set, which
-- undo needs. No id has a NUL, so it changes nothing.
local function may_move(hash, sorted)
  redis.call('HDEL', hash, '\0')
  redis.call('ZREM', sorted, '\0')
  redis.call('ZADD', sorted, 'XX', 0, '\0')
end
