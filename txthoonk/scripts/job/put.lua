-- Put new jobs into the line.
--
-- KEYS
--   1 feeds                   set          the registry
--   2 feed.config:[feed]      hash
--   3 feed.revision:[feed]    hash
--   4 feed.history:[feed]     stream
--   5 feed.publishes:[feed]   string
--   6 feed.items:[feed]       hash
--   7 feed.ids:[feed]         list
--   8 feed.published:[feed]   sorted set
--   9 feed.delayed:[feed]     sorted set
--   10 feed.transit:[feed]    list
--   11 feed.options:[feed]    hash
-- ARGV
--   1 name of the feed
--   2 channel feed.event:[feed]
--   3 channel feed.publishes:[feed]
--   4 LPUSH: to the end of the line, RPUSH: to its front; in this order
--   5 1: all of them or none; 0: those that do not exist yet
--   6 the options of each: in how many milliseconds it expires, 0 for never; its max_failures, -
--     for that of the feed; and those that only workers use, as JSON; empty for none
--   7 the serializer of the items, empty if they are as stored
--   8.. id, item, id, item, ...
-- Reply: for each its id, or the error of this one only
-- Errors: NOFEED, NOTCONFIGURED, CONFIGNOTHASH, JOBEXISTS, WRONGFEEDTYPE, OTHERSERIALIZER
-- Events: feed.publishes for each
-- Cost: O(log n) for each

--- include whole
--- include feed_missing
--- include not_configured
--- include open_feed
--- include other_serializer
--- include wrong_type
--- include open_history
--- include jobs_exist
--- include now
--- include undo_count
--- include change
--- include unpush
--- include recall
--- include announce
--- include keep_history
--- include to_put
--- include write_options
local feeds, config, revision, history, publishes, items, ids = unpack(KEYS, 1, 7)
local published, delayed, transit, options = unpack(KEYS, 8)
local name, event, channel, push, all, given, used = unpack(ARGV, 1, 7)

local failure, limit, serializer, kind = open_feed(feeds, config, name, 'serializer')
failure = failure or wrong_type(name, kind, 'job', config)
  or other_serializer(name, serializer, used)
if failure then
  return failure
end
local wanted = {}
for at = 8, #ARGV, 2 do
  wanted[#wanted + 1] = ARGV[at]
end
local answers, taken, others = jobs_exist(items, delayed, options, name, wanted)
local new, words, events = to_put(8, channel, answers)
if #new == 0 or (taken and all == '1') then
  return all == '1' and taken or answers
end
local log = open_history(limit, event, revision, history, publishes, items)
if log then
  log.apart = true
end
local clock, undo = now(), {}
local dates, time = {}, string.format('%.17g', clock)
for index, id in ipairs(new) do
  dates[2 * index - 1], dates[2 * index] = time, id
end
local step, recalled = 0, {}
return change(function()
  if push == 'RPUSH' then
    recall(recalled, transit, ids)
  end
  redis.call('INCRBY', publishes, #new)
  step = 1
  if given ~= '' or others and redis.call('EXISTS', options) == 1 then
    write_options(undo, options, given, new, clock)
  end
  redis.call('HSET', items, unpack(words))
  step = 2
  redis.call('ZADD', published, unpack(dates))
  step = 3
  redis.call(push, ids, unpack(new))
  step = 4
  announce(events, log)
  keep_history(log, events)
  return answers
end, function()
  return {
    recalled[1] or false,
    undo[1] or false,
    step > 0 and function() undo_count(publishes, #new) end,
    step > 1 and function() redis.call('HDEL', items, unpack(new)) end,
    step > 2 and function() redis.call('ZREM', published, unpack(new)) end,
    step > 3 and function() unpush(push, ids, new) end}
end)
