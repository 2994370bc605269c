-- Remove an item.
--
-- KEYS
--   1 feeds                   set          the registry
--   2 feed.ids:[feed]         sorted set
--   3 feed.items:[feed]       hash
-- ARGV
--   1 name of the feed
--   2 channel feed.retract:[feed]
--   3 id
-- Reply: 1, or 0 if it was not there
-- Errors: NOFEED
-- Events: feed.retract if it was there
-- Cost: O(log n)

--- include feed_missing
--- include announce
local feeds, ids, items = unpack(KEYS)
local name, retract, id = unpack(ARGV)

local failure = feed_missing(feeds, name)
if failure then
  return failure
end
local score = redis.call('ZSCORE', ids, id)
if redis.call('HEXISTS', items, id) == 0 and not score then
  return 0
end
redis.call('ZREM', ids, id)
failure = announce({retract, id})
if failure then
  if score then
    redis.call('ZADD', ids, score, id)
  end
  return failure
end
redis.call('HDEL', items, id)
return 1
