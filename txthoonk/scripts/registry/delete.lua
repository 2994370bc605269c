-- Delete a feed and every key that it may own, except the kept results of its jobs, which
-- clear removes.
--
-- KEYS
--   1 feeds                 set          the registry
--   2 feed.results:[feed]   sorted set   the ids of the jobs whose results are kept
--   3.. feed.*:[feed]      any type     every other key of the feed, except the kept results;
--     feed.revision and feed.history last
-- ARGV
--   1 name of the feed
--   2 channel delfeed
--   3 [instance] uuid of the caller
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
  -- Remove the history before publishing: if Redis refuses the rest, only the history is lost.
  redis.call('UNLINK', KEYS[#KEYS - 1], KEYS[#KEYS])
  redis.call('PUBLISH', delfeed, name .. '\0' .. instance)
  for index = 3, #KEYS - 2 do
    redis.call('UNLINK', KEYS[index])
  end
  if #left == 0 then
    redis.call('UNLINK', results)
  else
    -- If no process clears the results, the index expires with the last of them.
    redis.pcall('PEXPIREAT', results, string.format('%.0f', math.ceil(last)))
  end
  return left
end)
