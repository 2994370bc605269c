-- Remove the kept results of the jobs of a deleted feed.
--
-- KEYS
--   1 feeds                            set          the registry
--   2 feed.results:[feed]              sorted set   the ids of the jobs whose results are kept
--   3.. feed.jobfinished:[feed]\0[id]  list
-- ARGV
--   1 name of the feed
--   2.. the ids, in the order of those keys
-- Reply: the next ids whose results are kept; none if a feed of that name exists
-- Errors: none
-- Events: none
-- Cost: O(log n) for each; another thread frees the values (UNLINK)

--- include fields_from
--- include first_results
local feeds, results, kept = KEYS[1], KEYS[2], {unpack(KEYS, 3)}

if redis.call('SISMEMBER', feeds, ARGV[1]) == 1 then
  return {}
end
-- If Redis refuses these commands, they fail here, before anything has changed: no id is a NUL.
first_results(results)
redis.call('ZREM', results, '\0')
for index, id in ipairs(fields_from(2)) do
  redis.call('UNLINK', kept[index])
  redis.call('ZREM', results, id)
end
return first_results(results)
