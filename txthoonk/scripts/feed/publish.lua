-- Publish an item: a new id joins the end of the feed, a known one gets the new
-- item and moves to the end. A bounded feed drops its oldest items first.
--
-- KEYS
--   1 feeds                   set          the registry
--   2 feed.config:[feed]      hash
--   3 feed.ids:[feed]         sorted set
--   4 feed.items:[feed]       hash
--   5 feed.publishes:[feed]   string
-- ARGV
--   1 name of the feed
--   2 channel feed.publish:[feed]
--   3 channel feed.edit:[feed]
--   4 channel feed.retract:[feed]
--   5 id
--   6 item
-- Reply: the id
-- Errors: NOFEED, CONFIGNOTHASH, SCOREINFINITE
-- Events: feed.retract for each item dropped, oldest first, then feed.publish for
--   a new id or feed.edit for a known one
-- Cost: O(log n), and O(log n) more for each item dropped: one at most, unless
--   max_length was lowered

--- include feed_missing
--- include config_value
--- include now
--- include next_score
--- include oldest_over
--- include undo_count
--- include announce
--- include remove_items
local feeds, config, ids, items, publishes = unpack(KEYS)
local name, publish, edit, retract, id, item = unpack(ARGV)

local failure = feed_missing(feeds, name)
if failure then
  return failure
end
local max
max, failure = config_value(config, 'max_length')
if failure then
  return failure
end
local known = redis.call('ZSCORE', ids, id)
-- Lua does not roll back: a foreign key in the place of the items must fail here.
redis.call('HEXISTS', items, id)
local score = next_score(ids)
if not score then
  return redis.error_reply('SCOREINFINITE ' .. ids .. ' holds an infinite score: retract that id first')
end
max = math.floor(tonumber(max) or 0)
local gone = max > 0 and oldest_over(ids, max, id, known) or {}

local events = {}
for _, oldest in ipairs(gone) do
  events[#events + 1] = retract
  events[#events + 1] = oldest
end
events[#events + 1] = known and edit or publish
events[#events + 1] = id .. '\0' .. item

-- The first write comes before the events: it is what a replica or a full memory
-- refuses. The others come after them, because the events may be refused too.
redis.call('INCR', publishes)
failure = announce(events)
if failure then
  undo_count(publishes, 1)
  return failure
end
remove_items(ids, items, gone)
redis.call('ZADD', ids, score, id)
redis.call('HSET', items, id, item)
return id
