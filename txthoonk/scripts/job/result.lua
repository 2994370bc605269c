-- Read the result of a job.
--
-- KEYS
--   1 feed.items:[feed]              hash
--   2 feed.jobfinished:[feed]\0[id]  list
-- ARGV
--   1 id
-- Reply: 'active' and the item if the job is not finished; 'kept', the result and the
--   item if the result is kept (implementations of old did not keep the item); nothing
--   if there is neither
-- Errors: none
-- Events: none
-- Cost: O(1)

local item = redis.call('HGET', KEYS[1], ARGV[1])
if item then
  return {'active', item}
end
local kept = redis.call('LRANGE', KEYS[2], 0, 1)
return kept[1] and {'kept', kept[1], kept[2] or false} or {}
