-- Drop the oldest items, up to 500, of a feed whose max_length was lowered.
--
-- KEYS
--   1 feeds                   set          the registry
--   2 feed.config:[feed]      hash
--   3 feed.revision:[feed]    hash
--   4 feed.history:[feed]     stream
--   5 feed.publishes:[feed]   string
--   6 feed.items:[feed]       hash
--   7 feed.ids:[feed]         sorted set
-- ARGV
--   1 name of the feed
--   2 channel feed.event:[feed]
--   3 channel feed.publish:[feed]
--   4 channel feed.edit:[feed]
--   5 channel feed.retract:[feed]
--   6 the serializer: see publish
-- Reply: MORE if there are still too many items, else nothing
-- Errors: NOFEED, NOTCONFIGURED, CONFIGNOTHASH
-- Events: feed.retract for each dropped item, oldest first
-- Cost: O(log n) for each dropped item

--- include whole
--- include feed_missing
--- include not_configured
--- include open_feed
--- include open_history
--- include oldest_over
--- include first_write
--- include add_event
--- include change
--- include void_history
--- include announce
--- include remove_items
--- include keep_history
local feeds, config, revision, history, publishes, items, ids = unpack(KEYS)
local name, event, _, _, retract, _ = unpack(ARGV, 1, 6)

local failure, limit, max = open_feed(feeds, config, name, 'max_length')
if failure then
  return failure
end
max = math.floor(tonumber(max or nil) or 0)
if max <= 0 then
  return false
end
local gone, left = oldest_over(ids, max, false, true, 500)
local log, events = open_history(limit, event, revision, history, publishes, items), {}
for _, oldest in ipairs(gone) do
  add_event(events, 'retract', retract, oldest, false)
end
log = #events > 0 and log
return change(function(undo)
  first_write(feeds)
  void_history(undo, log)
  -- No id has a NUL, so these remove nothing. If Redis refuses removals, they fail here first.
  redis.call('ZREM', ids, '\0')
  redis.call('HDEL', items, '\0')
  announce(events, log)
  remove_items(ids, items, gone)
  keep_history(log, events)
  return left > 0 and 'MORE'
end)
