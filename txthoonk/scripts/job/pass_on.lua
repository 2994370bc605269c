-- Find the jobs that another implementation has finished and whose results are wanted, which that
-- implementation does not know; publish these results for waiters that do not listen to all jobs.
--
-- KEYS
--   1 feed.items:[feed]                hash
--   2 feed.later:[feed]                hash
--   3 feed.results:[feed]              sorted set
--   4.. feed.jobfinished:[feed]\0[id]  list         one for each job
-- ARGV
--   1 channel feed.ended:[feed]\0
--   2.. for each job: its id; 1 if the result is given, else 0; the result, or empty
-- Reply: the ids whose results are wanted, but neither kept nor given
-- Errors: none
-- Events: feed.ended for each result that is given, wanted and not kept
-- Cost: O(log n) for each job

--- include now
--- include change
local items, later, results = unpack(KEYS, 1, 3)
local kept, time, missing = {unpack(KEYS, 4)}, now(), {}

return change(function(undo)
  for index = 2, #ARGV, 3 do
    local id, given, result = unpack(ARGV, index, index + 2)
    local key = kept[(index + 1) / 3]
    local wanted = tonumber(redis.call('ZSCORE', results, id) or nil)
    local over = redis.call('HEXISTS', items, id) + redis.call('HEXISTS', later, id) == 0
    if wanted and wanted > time and over and redis.call('EXISTS', key) == 0 then
      if given == '1' then
        redis.call('RPUSH', key, result)
        undo[#undo + 1] = function() redis.call('DEL', key) end
        redis.call('PEXPIRE', key, math.ceil(wanted - time))
        -- If Redis refuses this, the waiter reads the kept result.
        redis.pcall('PUBLISH', ARGV[1] .. id, id .. '\0' .. result)
      else
        missing[#missing + 1] = id
      end
    end
  end
  return missing
end)
