-- Put an item into the line.
--
-- KEYS
--   1 feeds                   set      the registry
--   2 feed.config:[feed]      hash
--   3 feed.revision:[feed]    hash
--   4 feed.history:[feed]     stream
--   5 feed.publishes:[feed]   string
--   6 feed.items:[feed]       hash
--   7 feed.ids:[feed]         list
-- ARGV
--   1 name of the feed
--   2 channel feed.event:[feed]
--   3 LPUSH: to the end of the line, RPUSH: to its front
--   4 id
--   5 item
-- Reply: the id
-- Errors: NOFEED
-- Events: none but in the history
-- Cost: O(1)

--- include feed_missing
--- include open_feed
--- include open_history
--- include undo_count
--- include announce
--- include keep_history
local feeds, config, revision, history, publishes, items, ids = unpack(KEYS)
local name, event, push, id, item = unpack(ARGV)

local failure, limit = open_feed(feeds, config, name)
if failure then
  return failure
end
redis.call('LLEN', ids)
redis.call('HLEN', items)
local log = open_history(limit, event, revision, history, publishes)
redis.call('INCR', publishes)
local events = log and {'put', false, id, item} or {}
failure = announce(events, log)
if failure then
  undo_count(publishes, 1)
  return failure
end
redis.call('HSET', items, id, item)
redis.call(push, ids, id)
keep_history(log, events)
return id
