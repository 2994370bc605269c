-- Read the item of a job, which may be delayed.
--
-- KEYS
--   1 feed.items:[feed]       hash
--   2 feed.later:[feed]       hash
-- ARGV
--   1 id
-- Reply: the item, nil if there is none
-- Errors: none
-- Events: none
-- Cost: O(1)

local item = redis.call('HGET', KEYS[1], ARGV[1])
if item then
  return item
end
local aside = redis.call('HGET', KEYS[2], ARGV[1])
return aside and string.sub(aside, 2)
