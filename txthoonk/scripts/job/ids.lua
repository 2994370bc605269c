-- List ids of jobs.
--
-- KEYS
--   1 feed.items:[feed]       hash         or feed.later
-- ARGV
--   1 cursor of HSCAN: 0 to begin with
--   2 about how many to look at
-- Reply: the next cursor, 0 at the end; how many bytes their items have; and the ids
-- Errors: none
-- Events: none
-- Cost: O(m) for m to look at

--- include scanned
local cursor, ids, size = scanned(KEYS[1], ARGV[1], ARGV[2])
return {cursor, size, ids}
