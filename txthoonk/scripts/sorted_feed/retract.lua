-- Remove an item.
--
-- KEYS
--   1 feeds                   set          the registry
--   2 feed.ids:[feed]         list
--   3 feed.items:[feed]       hash
-- ARGV
--   1 name of the feed
--   2 channel feed.retract:[feed]
--   3 id
-- Reply: 1, or 0 if it was not there
-- Errors: NOFEED
-- Events: feed.retract if it was there
-- Cost: O(n)

--- include feed_missing
--- include first_write
--- include announce
local feeds, ids, items = unpack(KEYS)
local name, retract, id = unpack(ARGV)

local failure = feed_missing(feeds, name)
if failure then
  return failure
end
redis.call('LLEN', ids)
if redis.call('HEXISTS', items, id) == 0 and not redis.call('LPOS', ids, id) then
  return 0
end
first_write(feeds)
failure = announce({retract, id})
if failure then
  return failure
end
redis.call('LREM', ids, 1, id)
redis.call('HDEL', items, id)
return 1
