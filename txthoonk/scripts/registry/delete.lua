-- Delete a feed with every key that it may own.
--
-- KEYS
--   1 feeds                 set          the registry
--   2 feed.results:[feed]   sorted set   the ids of the jobs whose results are kept
--   3.. every other key of the feed, the kept results included     any type
-- ARGV
--   1 name of the feed
--   2 channel delfeed
--   3 instance uuid of the caller
--   4.. the ids whose kept results are among the keys, in their order
-- Reply: 1, or the ids whose results are kept, if they are not those that were
--   given: nothing is done then, and the call must be made again with them
-- Errors: NOFEED
-- Events: delfeed
-- Cost: O(1) and O(r) for r kept results; another thread frees the values (UNLINK)

--- include feed_missing
local feeds, results = KEYS[1], KEYS[2]
local name, delfeed, instance = ARGV[1], ARGV[2], ARGV[3]

local failure = feed_missing(feeds, name)
if failure then
  return failure
end
local kept = redis.pcall('ZRANGE', results, 0, -1)
-- A foreign key in its place indexes nothing.
kept = kept.err and {} or kept
for index = 1, math.max(#kept, #ARGV - 3) do
  if kept[index] ~= ARGV[index + 3] then
    return kept
  end
end

redis.call('SREM', feeds, name)
local sent = redis.pcall('PUBLISH', delfeed, name .. '\0' .. instance)
if type(sent) == 'table' then
  redis.call('SADD', feeds, name)
  return sent
end
redis.call('UNLINK', results, KEYS[3])
-- Lua's stack takes some 8,000 arguments at a time.
for first = 4, #KEYS, 5000 do
  redis.call('UNLINK', unpack(KEYS, first, math.min(first + 4999, #KEYS)))
end
return 1
