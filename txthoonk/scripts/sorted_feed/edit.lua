-- Replace an item; its place stays.
--
-- KEYS
--   1 feeds                   set          the registry
--   2 feed.config:[feed]      hash
--   3 feed.revision:[feed]    hash
--   4 feed.history:[feed]     stream
--   5 feed.publishes:[feed]   string
--   6 feed.items:[feed]       hash
-- ARGV
--   1 name of the feed
--   2 channel feed.event:[feed]
--   3 channel feed.publish:[feed]
--   4 the serializer of the item: see publish
--   5 id
--   6 item
--   7 the revision that the item must have; empty for any
-- Reply: 1; or CONFLICT, the revision of the present item and that item, if the revision is
--   another one; if there is no item, 0 and nil
-- Errors: NOFEED, NOTCONFIGURED, CONFIGNOTHASH, NOITEM, NOHISTORY, WRONGFEEDTYPE, OTHERSERIALIZER
-- Events: feed.publish
-- Cost: O(1)

--- include whole
--- include feed_missing
--- include not_configured
--- include open_feed
--- include other_serializer
--- include wrong_type
--- include open_history
--- include no_history
--- include own_revision
--- include conflict
--- include item_missing
--- include undo_count
--- include change
--- include announce
--- include keep_history
local feeds, config, revision, history, publishes, items = unpack(KEYS)
local name, event, publish, used, id, item, expect = unpack(ARGV)

local failure, limit, serializer, kind = open_feed(feeds, config, name, 'serializer')
failure = failure or wrong_type(name, kind, 'sorted_feed', config)
  or other_serializer(name, serializer, used)
if failure then
  return failure
end
local log = open_history(limit, event, revision, history, publishes, items)
failure = conflict(log, name, expect, items, id) or item_missing(items, name, id)
if failure then
  return failure
end
local events = {'edit', publish, id, item}
local before = redis.call('HGET', items, id)
return change(function(undo)
  redis.call('INCR', publishes)
  undo[1] = function() undo_count(publishes, 1) end
  redis.call('HSET', items, id, item)
  undo[2] = function() redis.call('HSET', items, id, before) end
  announce(events, log)
  keep_history(log, events)
  return 1
end)
