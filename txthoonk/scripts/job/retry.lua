-- Put a stalled job back into the line, at its end.
--
-- KEYS
--   1 feeds                   set          the registry
--   2 feed.ids:[feed]         list
--   3 feed.stalled:[feed]     set
--   4 feed.published:[feed]   sorted set
-- ARGV
--   1 name of the feed
--   2 channel feed.retried:[feed]
--   3 id
-- Reply: 1
-- Errors: NOFEED, NOTSTALLED
-- Events: feed.retried
-- Cost: O(log n)

--- include feed_missing
--- include now
--- include first_write
--- include announce
local feeds, ids, stalled, published = unpack(KEYS)
local name, channel, id = unpack(ARGV)

local failure = feed_missing(feeds, name)
if failure then
  return failure
end
if redis.call('SISMEMBER', stalled, id) == 0 then
  return redis.error_reply("NOTSTALLED job '" .. id .. "' of feed '" .. name .. "' is not stalled")
end
redis.call('LLEN', ids)
redis.call('ZCARD', published)
first_write(feeds)
failure = announce({channel, id})
if failure then
  return failure
end
redis.call('SREM', stalled, id)
redis.call('LPUSH', ids, id)
redis.call('ZADD', published, string.format('%.17g', now()), id)
return 1
