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
-- ARGV
--   1 name of the feed
--   2 channel feed.event:[feed]
--   3 channel feed.publishes:[feed]
--   4 LPUSH: to the end of the line, RPUSH: to its front
--   5.. id, item, id, item, ... in the order in which they shall be claimed
-- Reply: how many
-- Errors: NOFEED, JOBEXISTS
-- Events: feed.publishes for each
-- Cost: O(log n) for each

--- include feed_missing
--- include open_feed
--- include open_history
--- include now
--- include undo_count
--- include announce
--- include keep_history
--- include many_to_put
local feeds, config, revision, history, publishes, items, ids, published, delayed = unpack(KEYS)
local name, event, channel, push = unpack(ARGV, 1, 4)

local failure, limit = open_feed(feeds, config, name)
if failure then
  return failure
end
local words = {unpack(ARGV, 5)}
local named, line, events = many_to_put(words, channel, push)
local there, aside = redis.call('HMGET', items, unpack(named)), redis.call('ZMSCORE', delayed, unpack(named))
local seen, dates, time = {}, {}, string.format('%.17g', now())
for index, id in ipairs(named) do
  if there[index] or aside[index] or seen[id] then
    return redis.error_reply("JOBEXISTS feed '" .. name .. "' has a job '" .. id
      .. "' already: retract it first, or choose another id")
  end
  seen[id] = true
  dates[2 * index - 1], dates[2 * index] = time, id
end
redis.call('LLEN', ids)
redis.call('ZCARD', published)
local log = open_history(limit, event, revision, history, publishes, items)
redis.call('INCRBY', publishes, #named)
failure = announce(events, log)
if failure then
  undo_count(publishes, #named)
  return failure
end
redis.call('HSET', items, unpack(words))
redis.call('ZADD', published, unpack(dates))
redis.call(push, ids, unpack(line))
keep_history(log, events)
return #named
