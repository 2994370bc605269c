-- Publish new items, each at a position in the order.
--
-- KEYS
--   1 feeds                   set          the registry
--   2 feed.config:[feed]      hash
--   3 feed.revision:[feed]    hash
--   4 feed.history:[feed]     stream
--   5 feed.publishes:[feed]   string
--   6 feed.items:[feed]       hash
--   7 feed.ids:[feed]         list
--   8 feed.idincr:[feed]      string
-- ARGV
--   1 name of the feed
--   2 channel feed.event:[feed]
--   3 channel feed.publish:[feed]
--   4 channel feed.position:[feed]
--   5 the serializer of the items, empty if they are as stored
--   6.. item; its position: begin:, :end, :id or id:; the same as a word: begin, end, before
--     or after; the id that it is before or after, else empty; and the same for each further
--     item; they are published in this order
-- Reply: for each item its id, or the error of this item only
-- Errors: NOFEED, NOTCONFIGURED, CONFIGNOTHASH, NOITEM, WRONGFEEDTYPE, OTHERSERIALIZER
-- Events: for each item feed.publish, feed.position
-- Cost: for each item O(1) at the ends, O(n) before or after another item

--- include whole
--- include feed_missing
--- include not_configured
--- include open_feed
--- include other_serializer
--- include wrong_type
--- include open_history
--- include item_missing
--- include place_missing
--- include undo_count
--- include change
--- include announce
--- include insert_at
--- include keep_history
local feeds, config, revision, history, publishes, items, ids, idincr = unpack(KEYS)
local name, event, publish, position, used = unpack(ARGV, 1, 5)

local failure, limit, serializer, kind = open_feed(feeds, config, name, 'serializer')
failure = failure or wrong_type(name, kind, 'sorted_feed', config)
  or other_serializer(name, serializer, used)
if failure then
  return failure
end
local log = open_history(limit, event, revision, history, publishes, items)

local function put(item, place, where, relative)
  local refusal = place_missing(ids, items, name, where, relative)
  if refusal then
    return refusal
  end
  local done = change(function(undo)
    redis.call('INCR', publishes)
    undo[1] = function() undo_count(publishes, 1) end
    local id, counted = nil, 0
    undo[2] = function() undo_count(idincr, counted) end
    repeat
      redis.call('INCR', idincr)
      counted = counted + 1
      id = redis.call('GET', idincr)
      -- Another program may have used the number without counting it: its item must stay.
    until redis.call('HEXISTS', items, id) == 0
    redis.call('HSET', items, id, item)
    undo[3] = function() redis.call('HDEL', items, id) end
    insert_at(ids, where, relative, id)
    undo[4] = function() redis.call('LREM', ids, where == 'end' and -1 or 1, id) end
    local events = {'publish', publish, id, item, 'position', position, id, place}
    announce(events, log)
    keep_history(log, events)
    return id
  end)
  if type(done) == 'table' then
    -- Some of its events may have been published: the next item starts a new epoch.
    log = open_history(limit, event, revision, history, publishes, items)
  end
  return done
end

local replies = {}
for at = 6, #ARGV, 4 do
  replies[#replies + 1] = put(ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3])
end
return replies
