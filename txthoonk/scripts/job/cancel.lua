-- Give a claimed job back: it goes to the end of the line, with one failure more.
--
-- KEYS
--   1 feeds                   set          the registry
--   2 feed.ids:[feed]         list
--   3 feed.claimed:[feed]     sorted set
--   4 feed.cancelled:[feed]   hash
-- ARGV
--   1 name of the feed
--   2 channel feed.cancelled:[feed]
--   3 id
-- Reply: 1
-- Errors: NOFEED, NOTCLAIMED
-- Events: feed.cancelled
-- Cost: O(log n)

--- include feed_missing
--- include not_claimed
--- include first_write
--- include announce
local feeds, ids, claimed, cancelled = unpack(KEYS)
local name, channel, id = unpack(ARGV)

local failure = feed_missing(feeds, name) or not_claimed(claimed, name, id)
if failure then
  return failure
end
redis.call('LLEN', ids)
first_write(feeds)
local count = redis.pcall('HINCRBY', cancelled, id, 1)
if type(count) == 'table' then
  return count
end
failure = announce({channel, id})
if failure then
  if redis.call('HINCRBY', cancelled, id, -1) == 0 then
    redis.call('HDEL', cancelled, id)
  end
  return failure
end
redis.call('ZREM', claimed, id)
redis.call('LPUSH', ids, id)
return 1
