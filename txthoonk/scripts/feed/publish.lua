-- Publish items: a new id is added at the end of the feed, a known one gets the new item and
-- moves to the end. A bounded feed drops its oldest items first: one for a new item, and up to
-- 500 more if max_length was lowered.
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
--   6 the serializer of the items, empty if they are as stored
--   7.. id, item, the revision that the item must have (0 if it must not exist; empty
--     for any), and the same for each further item; they are published in this order
-- Reply: for each item its id; or CONFLICT, the revision of the present item and that item,
--   if the revision is another one; or the error of this item only. Then MORE, if there are
--   still too many items: trim drops them
-- Errors: NOFEED, NOTCONFIGURED, CONFIGNOTHASH, OTHERSERIALIZER, SCOREINFINITE, NOHISTORY
-- Events: for each item feed.retract for each dropped item, oldest first, then
--   feed.publish for a new id or feed.edit for a known one
-- Cost: O(log n) for each item and for each dropped item: at most one for each, and up to
--   500 more if max_length was lowered

--- include whole
--- include feed_missing
--- include not_configured
--- include open_feed
--- include other_serializer
--- include lost_history
--- include open_history
--- include no_history
--- include own_revision
--- include conflict
--- include now
--- include next_score
--- include oldest_over
--- include undo_count
--- include error_of
--- include add_event
--- include publish_events
--- include announce
--- include meet_removal
--- include unstore_item
--- include remove_items
--- include keep_history
local feeds, config, revision, history, publishes, items, ids = unpack(KEYS)
local name, event, publish, edit, retract, used = unpack(ARGV, 1, 6)

local failure, limit, max, kind, serializer = open_feed(feeds, config, name, 'max_length', 'serializer')
failure = failure or lost_history(config, name, kind, revision) or other_serializer(name, serializer, used)
if failure then
  return failure
end
max = math.floor(tonumber(max) or 0)
local time, last = now(), tonumber(redis.call('ZREVRANGE', ids, 0, 0, 'WITHSCORES')[2])
local log = open_history(limit, event, revision, history, publishes, items)
local spare, left, step = 500, 0, 0

-- INCR comes first: when memory is full, Redis refuses it before anything has changed.
local function make(id, score, item, removes, events)
  redis.call('INCR', publishes)
  step = 1
  if removes then
    meet_removal(ids, items)
  end
  redis.call('ZADD', ids, string.format('%.17g', score), id)
  step = 2
  redis.call('HSET', items, id, item)
  step = 3
  announce(events, log)
end

local function put(id, item, expect)
  local score, infinite = next_score(time, last, ids)
  local refusal = conflict(log, name, expect, items, id) or infinite
  if refusal then
    return refusal
  end
  local known, gone = redis.call('ZSCORE', ids, id), nil
  local before = known and redis.call('HGET', items, id)
  if max > 0 then
    gone, left = oldest_over(ids, max, id, known, spare + 1)
    spare = spare - math.max(0, #gone - 1)
  end
  local kind, channel = known and 'edit' or 'publish', known and edit or publish
  local events = publish_events(gone, retract, kind, channel, id, item)
  step = 0
  local done, caught = pcall(make, id, score, item, #events > 4, events)
  if not done then
    unstore_item(step, publishes, ids, items, id, known, before)
    -- Some of its events may have been published: the next item starts a new epoch.
    log = open_history(limit, event, revision, history, publishes, items)
    return error_of(caught)
  end
  remove_items(ids, items, gone)
  keep_history(log, events)
  last = score
  return id
end

local replies = {}
for at = 7, #ARGV, 3 do
  replies[#replies + 1] = put(ARGV[at], ARGV[at + 1], ARGV[at + 2])
end
if left > 0 then
  replies[#replies + 1] = 'MORE'
end
return replies
