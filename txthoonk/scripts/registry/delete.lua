-- Delete a feed with every key that it may own.
--
-- KEYS
--   1 feeds                 set   the registry
--   2.. every key of the feed     any type
-- ARGV
--   1 name of the feed
--   2 channel delfeed
--   3 instance uuid of the caller
-- Reply: 1
-- Errors: NOFEED
-- Events: delfeed
-- Cost: O(1): the values are freed by another thread (UNLINK)

--- include feed_missing
local feeds = KEYS[1]
local name, delfeed, instance = ARGV[1], ARGV[2], ARGV[3]

local failure = feed_missing(feeds, name)
if failure then
  return failure
end
redis.call('SREM', feeds, name)
local sent = redis.pcall('PUBLISH', delfeed, name .. '\0' .. instance)
if type(sent) == 'table' then
  redis.call('SADD', feeds, name)
  return sent
end
redis.call('UNLINK', unpack(KEYS, 2))
return 1
