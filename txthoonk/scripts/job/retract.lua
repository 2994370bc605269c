-- Remove a job from wherever it is.
--
-- KEYS
--   1 feeds                    set          the registry
--   2 feed.ids:[feed]          list
--   3 feed.items:[feed]        hash
--   4 feed.published:[feed]    sorted set
--   5 feed.claimed:[feed]      sorted set
--   6 feed.cancelled:[feed]    hash
--   7 feed.stalled:[feed]      set
--   8 feed.transit:[feed]      list
--   9 feed.delivering:[feed]   sorted set
-- ARGV
--   1 name of the feed
--   2 id
-- Reply: 1, or 0 if it was not there
-- Errors: NOFEED
-- Events: none
-- Cost: O(log n) for a claimed or stalled job, O(n) for one in line

--- include feed_missing
local feeds, ids, items, published, claimed, cancelled, stalled, transit, delivering = unpack(KEYS)
local name, id = unpack(ARGV)

local failure = feed_missing(feeds, name)
if failure then
  return failure
end
redis.call('LLEN', ids)
redis.call('ZCARD', published)
redis.call('ZCARD', claimed)
redis.call('HLEN', cancelled)
redis.call('SCARD', stalled)
redis.call('LLEN', transit)
redis.call('ZCARD', delivering)

local removed = redis.call('HDEL', items, id)
if removed == 0 then
  return 0
end
redis.call('HDEL', cancelled, id)
redis.call('ZREM', published, id)
redis.call('ZREM', delivering, id)
if redis.call('ZREM', claimed, id) + redis.call('SREM', stalled, id) == 0 then
  redis.call('LREM', transit, 1, id)
  redis.call('LREM', ids, 1, id)
end
return 1
