-- Cancel claims that are older than the feed's timeout; stall the jobs that have failed
-- max_failures times with it.
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
--   9 feed.claimed:[feed]     sorted set
--   10 feed.cancelled:[feed]  hash
--   11 feed.stalled:[feed]    set
--   12 feed.claims:[feed]     hash
--   13 feed.failures:[feed]   hash
--   14 feed.progress:[feed]   hash
--   15 feed.failed:[feed]     sorted set
-- ARGV
--   1 name of the feed
--   2 channel feed.event:[feed]
--   3 channel feed.cancelled:[feed]
--   4 channel feed.stalled:[feed]
--   5 how many at the most
-- Reply: how many were looked at, how many of them were cancelled, how many stalled, and
--   how many dropped because they have no item
-- Errors: NOFEED, NOTCONFIGURED, CONFIGNOTHASH
-- Events: feed.cancelled or feed.stalled for each
-- Cost: O(log n) for each

--- include feed_missing
--- include not_configured
--- include config_value
--- include open_feed
--- include open_history
--- include now
--- include first_write
--- include announce
--- include end_claim
--- include record_failure
--- include set_stalled
--- include keep_history
local feeds, config, revision, history, publishes, items = unpack(KEYS, 1, 6)
local ids, published, claimed, cancelled, stalled, claims, failures, progress, failed = unpack(KEYS, 7)
local name, event, cancel_channel, stall_channel, most = unpack(ARGV)

local failure, limit, timeout, _, max = open_feed(feeds, config, name, 'timeout', 'max_failures')
if timeout == nil and not failure then
  failure = select(2, config_value(config, 'timeout'))
end
if failure then
  return failure
end
timeout = tonumber(timeout) or 0
if not (timeout > 0) then
  return {0, 0, 0, 0}
end
max = tonumber(max or nil) or 0
local time = now()
local before = string.format('%.17g', time - timeout * 1000)
local old = redis.call('ZRANGEBYSCORE', claimed, '-inf', before, 'LIMIT', 0, most)
redis.call('LLEN', ids)
redis.call('ZCARD', published)
redis.call('SCARD', stalled)
redis.call('ZCARD', failed)
for _, key in ipairs({claims, failures, progress}) do
  redis.call('HLEN', key)
end
local why = cjson.encode({type = 'Timeout', message = 'the claim was not renewed for '
  .. timeout .. ' seconds'})
local log = open_history(limit, event, revision, history, publishes, items)
first_write(feeds)

local cancels, stalls, drops = 0, 0, 0
for _, id in ipairs(old) do
  local count = (tonumber(redis.call('HGET', cancelled, id) or nil) or 0) + 1
  local known = redis.call('HEXISTS', items, id) == 1
  local stall = max > 0 and count >= max
  local events = {stall and 'stall' or 'cancel', stall and stall_channel or cancel_channel, id, false}
  failure = known and announce(events, log)
  if failure then
    return failure
  end
  end_claim(claimed, claims, progress, id)
  if not known then
    redis.call('HDEL', cancelled, id)
    drops = drops + 1
  elseif stall then
    set_stalled(stalled, failed, cancelled, published, id, time)
    stalls = stalls + 1
  else
    redis.call('HSET', cancelled, id, count)
    redis.call('LPUSH', ids, id)
    cancels = cancels + 1
  end
  if known then
    record_failure(failures, id, count, time, why)
    keep_history(log, events)
  end
end
return {#old, cancels, stalls, drops}
