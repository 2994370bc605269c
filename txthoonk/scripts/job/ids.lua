-- List the ids of all jobs.
--
-- KEYS
--   1 feed.items:[feed]       hash
--   2 feed.later:[feed]       hash
-- ARGV: none
-- Reply: ids
-- Errors: none
-- Events: none
-- Cost: O(n)

local ids = redis.call('HKEYS', KEYS[1])
for _, id in ipairs(redis.call('HKEYS', KEYS[2])) do
  ids[#ids + 1] = id
end
return ids
