-- Remove results that the jobs of a feed left which was deleted.
--
-- KEYS
--   1 feeds                            set          the registry
--   2 feed.results:[feed]              sorted set   the ids of the jobs whose results are kept
--   3.. feed.jobfinished:[feed]\0[id]  list
-- ARGV
--   1 name of the feed
--   2.. the ids, in the order of those keys
-- Reply: the next ids whose results are kept; none if there is a feed of that name
-- Errors: none
-- Events: none
-- Cost: O(log n) for each; another thread frees the values (UNLINK)

--- include fields_from
--- include first_results
local feeds, results, kept = KEYS[1], KEYS[2], {unpack(KEYS, 3)}

if redis.call('SISMEMBER', feeds, ARGV[1]) == 1 then
  return {}
end
-- These meet what would refuse it, before anything is done: no id is a NUL.
first_results(results)
redis.call('ZREM', results, '\0')
for index, id in ipairs(fields_from(2)) do
  redis.call('UNLINK', kept[index])
  redis.call('ZREM', results, id)
end
return first_results(results)
