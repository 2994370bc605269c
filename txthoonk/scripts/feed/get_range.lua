-- Read ids and items of one moment, by rank.
--
-- KEYS
--   1 feed.ids:[feed]         sorted set
--   2 feed.items:[feed]       hash
-- ARGV
--   1 first rank; negative ranks count from the end
--   2 last rank, included
--   3 1 if the items of the first ids are enough where they are big, else 0
-- Reply: two arrays, the ids and their items in the same order
-- Errors: none
-- Events: none
-- Cost: O(log n + m) for m items in the range

--- include items_of
--- include some_items
local ids = redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[2])
return {ids, ARGV[3] == '1' and some_items(KEYS[2], ids, #ids) or items_of(KEYS[2], ids)}
