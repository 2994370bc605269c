-- Delete a feed with every key that it may own, but for the results that its jobs left: these
-- are for clear.
--
-- KEYS
--   1 feeds                 set          the registry
--   2 feed.results:[feed]   sorted set   the ids of the jobs whose results are kept
--   3.. every other key of the feed, but for the kept results; feed.revision:[feed] and
--     feed.history:[feed] last     any type
-- ARGV
--   1 name of the feed
--   2 channel delfeed
--   3 instance uuid of the caller
-- Reply: the first ids whose results are kept, for clear
-- Errors: NOFEED
-- Events: delfeed
-- Cost: O(1); another thread frees the values (UNLINK)

--- include feed_missing
--- include first_results
--- include change
local feeds, results = KEYS[1], KEYS[2]
local name, delfeed, instance = ARGV[1], ARGV[2], ARGV[3]

local failure = feed_missing(feeds, name)
if failure then
  return failure
end
local left = first_results(results)
local last = #left > 0 and redis.call('ZREVRANGE', results, 0, 0, 'WITHSCORES')[2]

return change(function(undo)
  redis.call('SREM', feeds, name)
  undo[1] = function() redis.call('SADD', feeds, name) end
  -- The history goes before anything is told: it is what can be lost where the rest is refused.
  redis.call('UNLINK', KEYS[#KEYS - 1], KEYS[#KEYS])
  redis.call('PUBLISH', delfeed, name .. '\0' .. instance)
  for index = 3, #KEYS - 2 do
    redis.call('UNLINK', KEYS[index])
  end
  if #left == 0 then
    redis.call('UNLINK', results)
  else
    -- If nobody clears them, the index goes with the last of them.
    redis.pcall('PEXPIREAT', results, string.format('%.0f', math.ceil(last)))
  end
  return left
end)
