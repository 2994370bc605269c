-- Remove stalled jobs that exceed keep_stalled_for or keep_stalled.
--
-- KEYS
--   1 feeds                   set          the registry
--   2 feed.config:[feed]      hash
--   3 feed.revision:[feed]    hash
--   4 feed.history:[feed]     stream
--   5 feed.publishes:[feed]   string
--   6 feed.items:[feed]       hash
--   7 feed.stalled:[feed]     set
--   8 feed.failed:[feed]      sorted set
--   9 feed.failures:[feed]    hash
--   10 feed.options:[feed]    hash
-- ARGV
--   1 name of the feed
--   2 channel feed.event:[feed]
--   3 the most jobs
-- Reply: how many were changed, and how many of them were removed
-- Errors: NOFEED, NOTCONFIGURED, CONFIGNOTHASH
-- Events: only in the history
-- Cost: O(log n) for each, and for up to as many without a time of stalling

--- include whole
--- include feed_missing
--- include not_configured
--- include open_feed
--- include open_history
--- include now
--- include first_write
--- include add_event
--- include change
--- include void_history
--- include announce
--- include keep_history
local feeds, config, revision, history, publishes, items = unpack(KEYS, 1, 6)
local stalled, failed, failures, options = unpack(KEYS, 7)
local name, event, most = unpack(ARGV)

local failure, limit, count, _, age = open_feed(feeds, config, name, 'keep_stalled', 'keep_stalled_for')
if failure then
  return failure
end
count, age = whole(count), tonumber(age or nil) or 0
if count == 0 and not (age > 0) then
  return {0, 0}
end
local time, stale = now(), {}
local oldest = redis.call('ZRANGE', failed, 0, most - 1)
local still = #oldest > 0 and redis.call('SMISMEMBER', stalled, unpack(oldest))
for index, id in ipairs(oldest) do
  if still[index] == 0 then
    stale[#stale + 1] = id
  end
end
if #stale > 0 then
  -- Another implementation that retries a job does not remove its time.
  return {redis.call('ZREM', failed, unpack(stale)), 0}
end
return change(function(undo)
  first_write(feeds)
  -- And one that stalls a job does not store a time.
  for _, id in ipairs(redis.call('SRANDMEMBER', stalled, most)) do
    if redis.call('ZADD', failed, 'NX', string.format('%.17g', time), id) == 1 then
      undo[#undo + 1] = function() redis.call('ZREM', failed, id) end
    end
  end
  local old = {}
  if age > 0 then
    local before = string.format('%.17g', time - age * 1000)
    old = redis.call('ZRANGEBYSCORE', failed, '-inf', before, 'LIMIT', 0, most)
  end
  local over = math.min(count > 0 and redis.call('SCARD', stalled) - count or 0, tonumber(most))
  if over > #old then
    old = redis.call('ZRANGE', failed, 0, over - 1)
  end
  if #old == 0 then
    return {0, 0}
  end
  local log, events = open_history(limit, event, revision, history, publishes, items), {}
  for _, id in ipairs(log and old or {}) do
    add_event(events, 'retract', false, id, false)
  end
  -- If Redis refuses removals, this fails before anything is published. No id has a NUL.
  redis.call('ZREM', failed, '\0')
  redis.call('SREM', stalled, '\0')
  redis.call('HDEL', items, '\0')
  redis.call('HLEN', failures)
  redis.call('HLEN', options)
  void_history(undo, log)
  announce(events, log)
  redis.call('ZREM', failed, unpack(old))
  redis.call('SREM', stalled, unpack(old))
  redis.call('HDEL', items, unpack(old))
  redis.call('HDEL', failures, unpack(old))
  redis.call('HDEL', options, unpack(old))
  keep_history(log, events)
  return {#old, #old}
end)
