-- Remove available or delayed jobs, with all their records.
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
--   9 feed.cancelled:[feed]   hash
--   10 feed.failures:[feed]   hash
--   11 feed.delayed:[feed]    sorted set
--   12 feed.later:[feed]      hash
--   13 feed.claimed:[feed]    sorted set
--   14 feed.options:[feed]    hash
-- ARGV
--   1 name of the feed
--   2 channel feed.event:[feed]
--   3 line or delayed: which jobs
--   4 the most jobs
-- Reply: how many were checked, and an array: the ids of those that were removed
-- Errors: NOFEED, NOTCONFIGURED, CONFIGNOTHASH
-- Events: only in the history
-- Cost: O(log n) for each

--- include whole
--- include feed_missing
--- include not_configured
--- include open_feed
--- include open_history
--- include change
--- include void_history
--- include add_event
--- include announce
--- include keep_history
local feeds, config, revision, history, publishes, items, ids = unpack(KEYS, 1, 7)
local published, cancelled, failures, delayed, later, claimed, options = unpack(KEYS, 8)
local name, event, which, most = unpack(ARGV)

local failure, limit = open_feed(feeds, config, name)
if failure then
  return failure
end
local line = which == 'line'
local some = {}
if tonumber(most) > 0 then
  some = line and redis.call('LRANGE', ids, -most, -1) or redis.call('ZRANGE', delayed, 0, most - 1)
end
if #some == 0 then
  return {0, {}}
end
for _, key in ipairs({cancelled, failures, later, options}) do
  redis.call('HLEN', key)
end
local held = redis.call('ZMSCORE', claimed, unpack(some))
local log = open_history(limit, event, revision, history, publishes, items)
local gone, events, seen = {}, {}, {}
for index, id in ipairs(some) do
  if not held[index] and not seen[id] and redis.call('HEXISTS', line and items or later, id) == 1 then
    seen[id] = true
    gone[#gone + 1] = id
    if log then
      add_event(events, 'retract', false, id, false)
    end
  end
end
log = #events > 0 and log
return change(function(undo)
  if line then
    redis.call('LTRIM', ids, 0, -#some - 1)
    undo[1] = function() redis.call('RPUSH', ids, unpack(some)) end
  end
  -- If Redis refuses removals, this fails before anything is published. No id has a NUL.
  redis.call('ZREM', published, '\0')
  redis.call('HDEL', items, '\0')
  void_history(undo, log)
  announce(events, log)
  if not line then
    redis.call('ZREM', delayed, unpack(some))
  end
  if #gone > 0 then
    redis.call('ZREM', published, unpack(gone))
    for _, key in ipairs({items, later, cancelled, failures, options}) do
      redis.call('HDEL', key, unpack(gone))
    end
  end
  keep_history(log, events)
  return {#some, gone}
end)
