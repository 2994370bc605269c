-- Move an item to another place.
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
--   3 channel feed.position:[feed]
--   4 id
--   5 position: begin:, :end, :id or id:
--   6 the same as a word: begin, end, before or after
--   7 the id that it is before or after, else empty
-- Reply: 1, or 0 if the position is next to the item itself, which then stays in its place
-- Errors: NOFEED, NOTCONFIGURED, CONFIGNOTHASH, NOITEM, WRONGFEEDTYPE
-- Events: feed.position, unless the item stays in its place
-- Cost: O(n)

--- include whole
--- include feed_missing
--- include not_configured
--- include open_feed
--- include wrong_type
--- include open_history
--- include item_missing
--- include place_missing
--- include first_write
--- include change
--- include void_history
--- include announce
--- include insert_at
--- include keep_history
local feeds, config, revision, history, publishes, items, ids = unpack(KEYS)
local name, event, position, id, place, where, relative = unpack(ARGV)

local failure, limit, _, kind = open_feed(feeds, config, name)
failure = failure or wrong_type(name, kind, 'sorted_feed', config)
failure = failure
  or item_missing(items, name, id)
  or place_missing(ids, items, name, where, relative)
if failure then
  return failure
end
if id == relative then
  return 0
end
local log = open_history(limit, event, revision, history, publishes, items)
local events = {'position', position, id, place}
-- Insert the item at its new place first, which can be undone. The list then has the id twice, and
-- the new place is the first or the last of the two.
local old = redis.call('LPOS', ids, id)
local first = where == 'begin' or where ~= 'end' and old and redis.call('LPOS', ids, relative) <= old
return change(function(undo)
  first_write(feeds)
  void_history(undo, log)
  redis.call('LREM', ids, 1, '\0')
  insert_at(ids, where, relative, id)
  undo[#undo + 1] = function() redis.call('LREM', ids, first and 1 or -1, id) end
  announce(events, log)
  if old then
    redis.call('LREM', ids, first and -1 or 1, id)
  end
  keep_history(log, events)
  return 1
end)
