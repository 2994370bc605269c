-- List ids of jobs.
--
-- KEYS
--   1 feed.[part]:[feed]      hash         items or later
-- ARGV
--   1 cursor of HSCAN; 0 to start
--   2 approximate number of jobs to scan
-- Reply: the next cursor, 0 at the end; the bytes of their items; and the ids
-- Errors: none
-- Events: none
-- Cost: O(m) for m jobs to scan

--- include scanned
local cursor, ids, size = scanned(KEYS[1], ARGV[1], ARGV[2])
return {cursor, size, ids}
