-- Read ids and items by rank, as of one moment.
--
-- KEYS
--   1 feed.ids:[feed]         list
--   2 feed.items:[feed]       hash
--   3 feed.config:[feed]      hash
-- ARGV
--   1 name of the feed
--   2 the serializer to read the items with, empty to read them as they are stored
--   3 first rank; negative ranks count from the end
--   4 last rank, inclusive
--   5 1 if big items may be cut to those of the first ids, else 0
-- Reply: two arrays, the ids and their items in the same order
-- Errors: OTHERSERIALIZER
-- Events: none
-- Cost: O(s + m) for m items in a range that begins s items from the nearer end

--- include items_of
--- include some_items
--- include other_serializer
--- include read_with
local order, items, config = unpack(KEYS)
local name, used, first, last, some = unpack(ARGV)

local failure = read_with(config, name, used)
if failure then
  return failure
end
local ids = redis.call('LRANGE', order, first, last)
return {ids, some == '1' and some_items(items, ids, #ids) or items_of(items, ids)}
