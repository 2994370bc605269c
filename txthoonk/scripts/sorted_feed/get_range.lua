-- Read ids and items by rank, as of one moment.
--
-- KEYS
--   1 feed.ids:[feed]         list
--   2 feed.items:[feed]       hash
-- ARGV
--   1 first rank; negative ranks count from the end
--   2 last rank, inclusive
--   3 1 if big items may be cut to those of the first ids, else 0
-- Reply: two arrays, the ids and their items in the same order
-- Errors: none
-- Events: none
-- Cost: O(s + m) for m items in a range that begins s items from the nearer end

--- include items_of
--- include some_items
local ids = redis.call('LRANGE', KEYS[1], ARGV[1], ARGV[2])
return {ids, ARGV[3] == '1' and some_items(KEYS[2], ids, #ids) or items_of(KEYS[2], ids)}
