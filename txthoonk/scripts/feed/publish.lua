-- Publish an item: a new id joins the end of the feed, a known one gets the new
-- item and moves to the end. A bounded feed drops its oldest items first.
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
--   6 id
--   7 item
--   8 the revision that the item must have, 0 if it must not be there; empty for any
-- Reply: the id; or CONFLICT, the revision of the present item and that item, if it is
--   another one
-- Errors: NOFEED, CONFIGNOTHASH, SCOREINFINITE, NOHISTORY
-- Events: feed.retract for each item dropped, oldest first, then feed.publish for
--   a new id or feed.edit for a known one
-- Cost: O(log n), and O(log n) more for each item dropped: one at most, unless
--   max_length was lowered

--- include feed_missing
--- include config_value
--- include open_feed
--- include open_history
--- include no_history
--- include conflict
--- include now
--- include next_score
--- include oldest_over
--- include undo_count
--- include announce
--- include remove_items
--- include keep_history
local feeds, config, revision, history, publishes, items, ids = unpack(KEYS)
local name, event, publish, edit, retract, id, item, expect = unpack(ARGV)

local failure, limit, max = open_feed(feeds, config, name, 'max_length')
if max == nil and not failure then
  failure = select(2, config_value(config, 'max_length'))
end
if failure then
  return failure
end
local known = redis.call('ZSCORE', ids, id)
-- Lua does not roll back: a foreign key in the place of the items must fail here.
redis.call('HEXISTS', items, id)
local log = open_history(limit, event, revision, history, publishes, items, id)
failure = conflict(log, name, expect, items, id)
if failure then
  return failure
end
local score = next_score(ids)
if not score then
  return redis.error_reply('SCOREINFINITE ' .. ids .. ' holds an infinite score: retract that id first')
end
max = math.floor(tonumber(max) or 0)
local gone = max > 0 and oldest_over(ids, max, id, known) or {}

local events = {}
for _, oldest in ipairs(gone) do
  events[#events + 1] = 'retract'
  events[#events + 1] = retract
  events[#events + 1] = oldest
  events[#events + 1] = false
end
events[#events + 1] = known and 'edit' or 'publish'
events[#events + 1] = known and edit or publish
events[#events + 1] = id
events[#events + 1] = item

-- The first write comes before the events: it is what a replica or a full memory
-- refuses. The others come after them, because the events may be refused too.
redis.call('INCR', publishes)
failure = announce(events, log)
if failure then
  undo_count(publishes, 1)
  return failure
end
remove_items(ids, items, gone)
redis.call('ZADD', ids, score, id)
redis.call('HSET', items, id, item)
keep_history(log, events)
return id
