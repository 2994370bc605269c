-- Read the result of a job.
--
-- KEYS
--   1 feed.items:[feed]              hash
--   2 feed.jobfinished:[feed]\0[id]  list
-- ARGV
--   1 id
-- Reply: the item if the job is not finished; result and item if it is and the result
--   is kept; nothing if there is neither
-- Errors: none
-- Events: none
-- Cost: O(1)

local item = redis.call('HGET', KEYS[1], ARGV[1])
return item and {item} or redis.call('LRANGE', KEYS[2], 0, 1)
