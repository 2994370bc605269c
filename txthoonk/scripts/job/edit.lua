-- Replace the item of a job in any state. A worker that has claimed it keeps the old item.
--
-- KEYS
--   1 feeds                   set          the registry
--   2 feed.config:[feed]      hash
--   3 feed.revision:[feed]    hash
--   4 feed.history:[feed]     stream
--   5 feed.publishes:[feed]   string
--   6 feed.items:[feed]       hash
--   7 feed.later:[feed]       hash
-- ARGV
--   1 name of the feed
--   2 channel feed.event:[feed]
--   3 channel feed.edit:[feed]
--   4 the serializer of the item: see put
--   5 id
--   6 item
-- Reply: 1
-- Errors: NOFEED, NOTCONFIGURED, CONFIGNOTHASH, NOITEM, OTHERSERIALIZER
-- Events: feed.edit, unless the job is delayed
-- Cost: O(1)

--- include whole
--- include feed_missing
--- include not_configured
--- include open_feed
--- include other_serializer
--- include open_history
--- include item_missing
--- include change
--- include announce
--- include keep_history
local feeds, config, revision, history, publishes, items, later = unpack(KEYS)
local name, event, channel, used, id, item = unpack(ARGV)

local failure, limit, serializer = open_feed(feeds, config, name, 'serializer')
failure = failure or other_serializer(name, serializer, used)
if failure then
  return failure
end
local aside = redis.call('HGET', later, id)
if aside then
  redis.call('HSET', later, id, string.sub(aside, 1, 1) .. item)
  return 1
end
failure = item_missing(items, name, id)
if failure then
  return failure
end
local log = open_history(limit, event, revision, history, publishes, items)
local events, before = {'edit', channel, id, item}, redis.call('HGET', items, id)
return change(function(undo)
  redis.call('HSET', items, id, item)
  undo[1] = function() redis.call('HSET', items, id, before) end
  announce(events, log)
  keep_history(log, events)
  return 1
end)
