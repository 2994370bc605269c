-- Remove kept results of jobs that no longer exist.
--
-- KEYS
--   1 feed.config:[feed]               hash
--   2 feed.items:[feed]                hash
--   3 feed.results:[feed]              sorted set
--   4.. feed.jobfinished:[feed]\0[id]  list
-- ARGV
--   1 the most ids to reply
-- Reply: ids of old results, if there are still too many; none if another process has already
--   removed all of these: then that process goes on
-- Errors: none
-- Events: none
-- Cost: O(log n) for each

--- include whole
--- include now
--- include old_results
local config, items, results = unpack(KEYS, 1, 3)
local kept, count, ids = {unpack(KEYS, 4)}, tonumber(ARGV[1]), {}
for index, key in ipairs(kept) do
  -- The name of a feed has no NUL.
  ids[index] = string.sub(key, string.find(key, '\0', 1, true) + 1)
end
local most = whole(redis.call('HGET', config, 'keep_results'))
local gone, keys = {}, {}
local there = #ids > 0 and redis.call('HMGET', items, unpack(ids))
for index, id in ipairs(ids) do
  if not there[index] then
    gone[#gone + 1], keys[#keys + 1] = id, kept[index]
  end
end
if #gone > 0 then
  -- If Redis refuses ZREM, this fails before anything has changed. No id is a NUL.
  redis.call('ZREM', results, '\0')
  redis.call('DEL', unpack(keys))
  local removed = redis.call('ZREM', results, unpack(gone))
  if removed == 0 then
    return {}
  end
end
return most > 0 and old_results(results, items, most, count) or {}
