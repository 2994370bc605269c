-- Put a new job into the line.
--
-- KEYS
--   1 feeds                   set          the registry
--   2 feed.config:[feed]      hash
--   3 feed.revision:[feed]    hash
--   4 feed.history:[feed]     stream
--   5 feed.publishes:[feed]   string
--   6 feed.items:[feed]       hash
--   7 feed.ids:[feed]         list
--   8 feed.published:[feed]   sorted set
--   9 feed.delayed:[feed]     sorted set
-- ARGV
--   1 name of the feed
--   2 channel feed.event:[feed]
--   3 channel feed.publishes:[feed]
--   4 LPUSH: to the end of the line, RPUSH: to its front
--   5 id
--   6 item
-- Reply: the id
-- Errors: NOFEED, JOBEXISTS
-- Events: feed.publishes
-- Cost: O(log n)

--- include feed_missing
--- include open_feed
--- include open_history
--- include job_exists
--- include now
--- include undo_count
--- include announce
--- include keep_history
local feeds, config, revision, history, publishes, items, ids, published, delayed = unpack(KEYS)
local name, event, channel, push, id, item = unpack(ARGV)

local failure, limit = open_feed(feeds, config, name)
failure = failure or job_exists(items, delayed, name, id)
if failure then
  return failure
end
redis.call('LLEN', ids)
redis.call('ZCARD', published)
local log = open_history(limit, event, revision, history, publishes, items)
local events = {'put', channel, id, item}
redis.call('INCR', publishes)
failure = announce(events, log)
if failure then
  undo_count(publishes, 1)
  return failure
end
redis.call('HSET', items, id, item)
redis.call('ZADD', published, string.format('%.17g', now()), id)
redis.call(push, ids, id)
keep_history(log, events)
return id
