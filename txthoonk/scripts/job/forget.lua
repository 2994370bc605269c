-- Forget results that are kept: those of jobs that are gone.
--
-- KEYS
--   1 feed.items:[feed]                hash
--   2 feed.results:[feed]              sorted set
--   3.. feed.jobfinished:[feed]\0[id]  list
-- ARGV
--   1.. the ids, in the order of those keys
-- Reply: how many were kept
-- Errors: none
-- Events: none
-- Cost: O(log n) for each

local items, results, kept = KEYS[1], KEYS[2], {unpack(KEYS, 3)}

local there = redis.call('HMGET', items, unpack(ARGV))
local count = 0
for index, id in ipairs(ARGV) do
  if not there[index] then
    redis.call('ZREM', results, id)
    count = count + redis.call('DEL', kept[index])
  end
end
return count
