-- Remove a job from wherever it is.
--
-- KEYS
--   1 feeds                    set          the registry
--   2 feed.config:[feed]       hash
--   3 feed.revision:[feed]     hash
--   4 feed.history:[feed]      stream
--   5 feed.publishes:[feed]    string
--   6 feed.items:[feed]        hash
--   7 feed.ids:[feed]          list
--   8 feed.published:[feed]    sorted set
--   9 feed.claimed:[feed]      sorted set
--   10 feed.cancelled:[feed]   hash
--   11 feed.stalled:[feed]     set
--   12 feed.transit:[feed]     list
--   13 feed.delivering:[feed]  sorted set
--   14 feed.claims:[feed]      hash
--   15 feed.failures:[feed]    hash
--   16 feed.progress:[feed]    hash
--   17 feed.delayed:[feed]     sorted set
--   18 feed.later:[feed]       hash
--   19 feed.failed:[feed]      sorted set
-- ARGV
--   1 name of the feed
--   2 channel feed.event:[feed]
--   3 id
-- Reply: 1, or 0 if it was not there
-- Errors: NOFEED, NOTCONFIGURED
-- Events: none but in the history
-- Cost: O(log n) for a claimed or stalled job, O(n) for one in line

--- include whole
--- include feed_missing
--- include not_configured
--- include open_feed
--- include open_history
--- include first_write
--- include announce
--- include keep_history
local feeds, config, revision, history, publishes, items = unpack(KEYS, 1, 6)
local ids, published, claimed, cancelled, stalled, transit, delivering = unpack(KEYS, 7, 13)
local claims, failures, progress, delayed, later, failed = unpack(KEYS, 14)
local name, event, id = unpack(ARGV)

local failure, limit = open_feed(feeds, config, name)
if failure then
  return failure
end
redis.call('LLEN', ids)
redis.call('ZCARD', published)
redis.call('ZCARD', claimed)
redis.call('HLEN', cancelled)
redis.call('SCARD', stalled)
redis.call('LLEN', transit)
redis.call('ZCARD', delivering)
redis.call('ZCARD', delayed)
redis.call('ZCARD', failed)
for _, key in ipairs({claims, failures, progress}) do
  redis.call('HLEN', key)
end
local aside = redis.call('HEXISTS', later, id) == 1
local log = open_history(limit, event, revision, history, publishes, items)
local events = {'retract', false, id, false}
if log then
  if not aside and redis.call('HEXISTS', items, id) == 0 then
    return 0
  end
  first_write(feeds)
  failure = announce(events, log)
  if failure then
    return failure
  end
end

if redis.call('HDEL', items, id) + redis.call('HDEL', later, id) == 0 then
  return 0
end
for _, key in ipairs({cancelled, claims, failures, progress}) do
  redis.call('HDEL', key, id)
end
redis.call('ZREM', delayed, id)
redis.call('ZREM', failed, id)
redis.call('ZREM', published, id)
redis.call('ZREM', delivering, id)
if redis.call('ZREM', claimed, id) + redis.call('SREM', stalled, id) == 0 and not aside then
  redis.call('LREM', transit, 1, id)
  redis.call('LREM', ids, 1, id)
end
keep_history(log, events)
return 1
