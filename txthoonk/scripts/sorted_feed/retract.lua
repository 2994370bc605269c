-- Remove an item.
--
-- KEYS
--   1 feeds                   set          the registry
--   2 feed.config:[feed]      hash
--   3 feed.revision:[feed]    hash
--   4 feed.history:[feed]     stream
--   5 feed.publishes:[feed]   string
--   6 feed.items:[feed]       hash
--   7 feed.ids:[feed]         list
-- ARGV
--   1 name of the feed
--   2 channel feed.event:[feed]
--   3 channel feed.retract:[feed]
--   4 id
--   5 the revision that the item must have; empty for any
-- Reply: 1, or 0 if there is no such item; or CONFLICT, the revision of the present item and
--   that item, if the revision is another one
-- Errors: NOFEED, NOTCONFIGURED, CONFIGNOTHASH, NOHISTORY, WRONGFEEDTYPE
-- Events: feed.retract if there is such an item
-- Cost: O(n)

--- include whole
--- include feed_missing
--- include not_configured
--- include open_feed
--- include wrong_type
--- include open_history
--- include no_history
--- include own_revision
--- include conflict
--- include first_write
--- include change
--- include void_history
--- include announce
--- include keep_history
local feeds, config, revision, history, publishes, items, ids = unpack(KEYS)
local name, event, retract, id, expect = unpack(ARGV)

local failure, limit, _, kind = open_feed(feeds, config, name)
failure = failure or wrong_type(name, kind, 'sorted_feed', config)
if failure then
  return failure
end
local item = redis.call('HGET', items, id)
local there = item or redis.call('LPOS', ids, id)
local log = open_history(limit, event, revision, history, publishes, items)
failure = conflict(log, name, expect, items, id)
if failure or not there then
  return failure or 0
end
local events = {'retract', retract, id, false}
return change(function(undo)
  first_write(feeds)
  void_history(undo, log)
  redis.call('HDEL', items, id)
  undo[#undo + 1] = item and function() redis.call('HSET', items, id, item) end
  -- If Redis refuses LREM, this fails before the event is published. No id has a NUL.
  redis.call('LREM', ids, 1, '\0')
  announce(events, log)
  redis.call('LREM', ids, 1, id)
  keep_history(log, events)
  return 1
end)
