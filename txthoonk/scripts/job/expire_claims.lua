-- Cancel claims that are older than the feed's timeout; stall the jobs that have failed
-- max_failures times with it.
--
-- KEYS
--   1 feeds                   set          the registry
--   2 feed.config:[feed]      hash
--   3 feed.ids:[feed]         list
--   4 feed.items:[feed]       hash
--   5 feed.published:[feed]   sorted set
--   6 feed.claimed:[feed]     sorted set
--   7 feed.cancelled:[feed]   hash
--   8 feed.stalled:[feed]     set
-- ARGV
--   1 channel feed.cancelled:[feed]
--   2 channel feed.stalled:[feed]
--   3 how many at the most
-- Reply: how many were looked at, how many of them were cancelled, how many stalled, and
--   how many dropped because they have no item
-- Errors: CONFIGNOTHASH
-- Events: feed.cancelled or feed.stalled for each
-- Cost: O(log n) for each

--- include config_value
--- include now
--- include first_write
--- include announce
local feeds, config, ids, items, published, claimed, cancelled, stalled = unpack(KEYS)
local cancel_channel, stall_channel, limit = unpack(ARGV)

local timeout, failure = config_value(config, 'timeout')
if failure then
  return failure
end
timeout = tonumber(timeout) or 0
if not (timeout > 0) then
  return {0, 0, 0, 0}
end
local max = tonumber(config_value(config, 'max_failures')) or 0
local before = string.format('%.17g', now() - timeout * 1000)
local old = redis.call('ZRANGEBYSCORE', claimed, '-inf', before, 'LIMIT', 0, limit)
redis.call('LLEN', ids)
redis.call('ZCARD', published)
redis.call('SCARD', stalled)
first_write(feeds)

local cancels, stalls, drops = 0, 0, 0
for _, id in ipairs(old) do
  local failures = (tonumber(redis.call('HGET', cancelled, id)) or 0) + 1
  local known = redis.call('HEXISTS', items, id) == 1
  local stall = max > 0 and failures >= max
  failure = known and announce({stall and stall_channel or cancel_channel, id})
  if failure then
    return failure
  end
  redis.call('ZREM', claimed, id)
  if not known then
    redis.call('HDEL', cancelled, id)
    drops = drops + 1
  elseif stall then
    redis.call('HDEL', cancelled, id)
    redis.call('ZREM', published, id)
    redis.call('SADD', stalled, id)
    stalls = stalls + 1
  else
    redis.call('HSET', cancelled, id, failures)
    redis.call('LPUSH', ids, id)
    cancels = cancels + 1
  end
end
return {#old, cancels, stalls, drops}
