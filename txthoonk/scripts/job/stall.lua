-- Take a claimed job out of the running, without counting its failures any longer.
--
-- KEYS
--   1 feeds                   set          the registry
--   2 feed.claimed:[feed]     sorted set
--   3 feed.cancelled:[feed]   hash
--   4 feed.stalled:[feed]     set
--   5 feed.published:[feed]   sorted set
-- ARGV
--   1 name of the feed
--   2 channel feed.stalled:[feed]
--   3 id
-- Reply: 1
-- Errors: NOFEED, NOTCLAIMED
-- Events: feed.stalled
-- Cost: O(log n)

--- include feed_missing
--- include not_claimed
--- include first_write
--- include announce
local feeds, claimed, cancelled, stalled, published = unpack(KEYS)
local name, channel, id = unpack(ARGV)

local failure = feed_missing(feeds, name) or not_claimed(claimed, name, id)
if failure then
  return failure
end
redis.call('HLEN', cancelled)
redis.call('SCARD', stalled)
redis.call('ZCARD', published)
first_write(feeds)
failure = announce({channel, id})
if failure then
  return failure
end
redis.call('ZREM', claimed, id)
redis.call('HDEL', cancelled, id)
redis.call('ZREM', published, id)
redis.call('SADD', stalled, id)
return 1
