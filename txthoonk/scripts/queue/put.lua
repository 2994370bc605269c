-- Put items into the line.
--
-- KEYS
--   1 feeds                   set      the registry
--   2 feed.config:[feed]      hash
--   3 feed.revision:[feed]    hash
--   4 feed.history:[feed]     stream
--   5 feed.publishes:[feed]   string
--   6 feed.items:[feed]       hash
--   7 feed.ids:[feed]         list
--   8 feed.transit:[feed]     list
-- ARGV
--   1 name of the feed
--   2 channel feed.event:[feed]
--   3 LPUSH: to the end of the line, RPUSH: to its front; in this order
--   4 the serializer of the items, empty if they are as stored
--   5.. id, item, id, item, ...
-- Reply: their ids
-- Errors: NOFEED, NOTCONFIGURED, CONFIGNOTHASH, WRONGFEEDTYPE, OTHERSERIALIZER
-- Events: only in the history
-- Cost: O(1) for each

--- include whole
--- include feed_missing
--- include not_configured
--- include open_feed
--- include other_serializer
--- include wrong_type
--- include open_history
--- include undo_count
--- include change
--- include unpush
--- include recall
--- include announce
--- include keep_history
--- include to_put
local feeds, config, revision, history, publishes, items, ids, transit = unpack(KEYS)
local name, event, push, used = unpack(ARGV, 1, 4)

local failure, limit, serializer, kind = open_feed(feeds, config, name, 'serializer')
failure = failure or wrong_type(name, kind, 'queue', config)
  or other_serializer(name, serializer, used)
if failure then
  return failure
end
local log = open_history(limit, event, revision, history, publishes)
if log then
  log.apart = true
end
local new, words, events = to_put(5, false, {})
local step, recalled = 0, {}
return change(function()
  if push == 'RPUSH' then
    recall(recalled, transit, ids)
  end
  redis.call('INCRBY', publishes, #new)
  step = 1
  redis.call('HSET', items, unpack(words))
  step = 2
  redis.call(push, ids, unpack(new))
  step = 3
  if log then
    announce(events, log)
    keep_history(log, events)
  end
  return new
end, function()
  return {
    recalled[1] or false,
    step > 0 and function() undo_count(publishes, #new) end,
    step > 1 and function() redis.call('HDEL', items, unpack(new)) end,
    step > 2 and function() unpush(push, ids, new) end}
end)
