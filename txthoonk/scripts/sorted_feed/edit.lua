-- Replace an item; its place stays.
--
-- KEYS
--   1 feeds                   set          the registry
--   2 feed.items:[feed]       hash
--   3 feed.publishes:[feed]   string
-- ARGV
--   1 name of the feed
--   2 channel feed.publish:[feed]
--   3 id
--   4 item
-- Reply: 1
-- Errors: NOFEED, NOITEM
-- Events: feed.publish
-- Cost: O(1)

--- include feed_missing
--- include item_missing
--- include undo_count
--- include announce
local feeds, items, publishes = unpack(KEYS)
local name, publish, id, item = unpack(ARGV)

local failure = feed_missing(feeds, name) or item_missing(items, name, id)
if failure then
  return failure
end
redis.call('INCR', publishes)
failure = announce({publish, id .. '\0' .. item})
if failure then
  undo_count(publishes, 1)
  return failure
end
redis.call('HSET', items, id, item)
return 1
