-- Delete a feed with every key that it may own, but for the results that its jobs left: these
-- are for clear.
--
-- KEYS
--   1 feeds                 set          the registry
--   2 feed.results:[feed]   sorted set   the ids of the jobs whose results are kept
--   3.. every other key of the feed, but for the kept results     any type
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
local feeds, results = KEYS[1], KEYS[2]
local name, delfeed, instance = ARGV[1], ARGV[2], ARGV[3]

local failure = feed_missing(feeds, name)
if failure then
  return failure
end
local left = first_results(results)
local last = redis.pcall('ZREVRANGE', results, 0, 0, 'WITHSCORES')[2]

redis.call('SREM', feeds, name)
local sent = redis.pcall('PUBLISH', delfeed, name .. '\0' .. instance)
if type(sent) == 'table' then
  redis.call('SADD', feeds, name)
  return sent
end
for index = 3, #KEYS do
  redis.call('UNLINK', KEYS[index])
end
if #left == 0 then
  redis.call('UNLINK', results)
else
  -- If nobody clears them, the index goes with the last of them.
  redis.pcall('PEXPIREAT', results, string.format('%.0f', math.ceil(last)))
end
return left
