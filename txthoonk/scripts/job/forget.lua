-- Forget results that are kept: those of jobs that are gone.
--
-- KEYS
--   1 feed.config:[feed]               hash
--   2 feed.items:[feed]                hash
--   3 feed.results:[feed]              sorted set
--   4.. feed.jobfinished:[feed]\0[id]  list
-- ARGV
--   1.. the ids, in the order of those keys
-- Reply: ids of old results, of which there are still too many
-- Errors: none
-- Events: none
-- Cost: O(log n) for each

--- include now
--- include old_results
local config, items, results = unpack(KEYS, 1, 3)
local kept = {unpack(KEYS, 4)}

local there = redis.call('HMGET', items, unpack(ARGV))
for index, id in ipairs(ARGV) do
  if not there[index] then
    redis.call('ZREM', results, id)
    redis.call('DEL', kept[index])
  end
end
local most = tonumber(redis.call('HGET', config, 'keep_results') or nil) or 0
return most > 0 and old_results(results, items, most) or {}
