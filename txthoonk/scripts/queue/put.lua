-- Put an item into the line.
--
-- KEYS
--   1 feeds                   set      the registry
--   2 feed.ids:[feed]         list
--   3 feed.items:[feed]       hash
--   4 feed.publishes:[feed]   string
-- ARGV
--   1 name of the feed
--   2 LPUSH: to the end of the line, RPUSH: to its front
--   3 id
--   4 item
-- Reply: the id
-- Errors: NOFEED
-- Events: none
-- Cost: O(1)

--- include feed_missing
local feeds, ids, items, publishes = unpack(KEYS)
local name, push, id, item = unpack(ARGV)

local failure = feed_missing(feeds, name)
if failure then
  return failure
end
redis.call('LLEN', ids)
redis.call('HLEN', items)
redis.call('INCR', publishes)
redis.call('HSET', items, id, item)
redis.call(push, ids, id)
return id
