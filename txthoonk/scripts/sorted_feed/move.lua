-- Move an item to another place.
--
-- KEYS
--   1 feeds                   set          the registry
--   2 feed.ids:[feed]         list
--   3 feed.items:[feed]       hash
-- ARGV
--   1 name of the feed
--   2 channel feed.position:[feed]
--   3 id
--   4 position: begin:, :end, :id or id:
--   5 where that is: begin, end, before or after
--   6 the id that it is before or after, else empty
-- Reply: 1, or 0 if it is to stand beside itself: it stays where it is
-- Errors: NOFEED, NOITEM
-- Events: feed.position, unless it stays where it is
-- Cost: O(n)

--- include feed_missing
--- include item_missing
--- include place_missing
--- include first_write
--- include announce
--- include insert_at
local feeds, ids, items = unpack(KEYS)
local name, position, id, place, where, relative = unpack(ARGV)

local failure = feed_missing(feeds, name)
  or item_missing(items, name, id)
  or place_missing(ids, items, name, where, relative)
if failure then
  return failure
end
if id == relative then
  return 0
end
first_write(feeds)
failure = announce({position, id .. '\0' .. place})
if failure then
  return failure
end
redis.call('LREM', ids, 1, id)
insert_at(ids, where, relative, id)
return 1
