-- Returns whether kept results of a deleted feed of that name remain. If the feed has a
-- configuration, only its name in the registry was lost, and the results are its own.
local function results_remain(config, results)
  return redis.call('ZCARD', results) > 0 and redis.call('EXISTS', config) == 0
end
