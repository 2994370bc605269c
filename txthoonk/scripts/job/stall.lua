-- Take a claimed job out of the running, without counting its failures any longer.
--
-- KEYS
--   1 feeds                   set          the registry
--   2 feed.config:[feed]      hash
--   3 feed.revision:[feed]    hash
--   4 feed.history:[feed]     stream
--   5 feed.publishes:[feed]   string
--   6 feed.items:[feed]       hash
--   7 feed.claimed:[feed]     sorted set
--   8 feed.cancelled:[feed]   hash
--   9 feed.stalled:[feed]     set
--   10 feed.published:[feed]  sorted set
-- ARGV
--   1 name of the feed
--   2 channel feed.event:[feed]
--   3 channel feed.stalled:[feed]
--   4 id
-- Reply: 1
-- Errors: NOFEED, NOTCLAIMED
-- Events: feed.stalled
-- Cost: O(log n)

--- include feed_missing
--- include open_feed
--- include open_history
--- include not_claimed
--- include first_write
--- include announce
--- include keep_history
local feeds, config, revision, history, publishes, items = unpack(KEYS, 1, 6)
local claimed, cancelled, stalled, published = unpack(KEYS, 7)
local name, event, channel, id = unpack(ARGV)

local failure, limit = open_feed(feeds, config, name)
failure = failure or not_claimed(claimed, name, id)
if failure then
  return failure
end
redis.call('HLEN', cancelled)
redis.call('SCARD', stalled)
redis.call('ZCARD', published)
local log = open_history(limit, event, revision, history, publishes, items)
local events = {'stall', channel, id, false}
first_write(feeds)
failure = announce(events, log)
if failure then
  return failure
end
redis.call('ZREM', claimed, id)
redis.call('HDEL', cancelled, id)
redis.call('ZREM', published, id)
redis.call('SADD', stalled, id)
keep_history(log, events)
return 1
