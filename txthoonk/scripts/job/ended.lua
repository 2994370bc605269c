-- Find the jobs that are gone or stalled: other implementations do not announce each end.
--
-- KEYS
--   1 feed.items:[feed]     hash
--   2 feed.later:[feed]     hash
--   3 feed.stalled:[feed]   set
-- ARGV
--   1.. ids
-- Reply: the ids of jobs that no longer exist, and those of jobs that are stalled
-- Errors: none
-- Events: none
-- Cost: O(1) for each id

local items, later, stalled = unpack(KEYS)

local gone, aside = {}, {}
for index = 1, #ARGV do
  local id = ARGV[index]
  if redis.call('HEXISTS', items, id) == 0 then
    if redis.call('HEXISTS', later, id) == 0 then
      gone[#gone + 1] = id
    end
  elseif redis.call('SISMEMBER', stalled, id) == 1 then
    aside[#aside + 1] = id
  end
end
return {gone, aside}
