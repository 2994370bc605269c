-- Remove items that were delivered.
--
-- KEYS
--   1 feed.ids:[feed]          list
--   2 feed.items:[feed]        hash
--   3 feed.transit:[feed]      list
--   4 feed.delivering:[feed]   sorted set
-- ARGV
--   1.. ids
-- Reply: how many of them were still being delivered
-- Errors: none
-- Events: none
-- Cost: O(log n) for each id; O(n) for one that maintenance has put back meanwhile, as
--   it does when the consumer was cut off for too long

local ids, items, transit, delivering = unpack(KEYS)

redis.call('LLEN', ids)
redis.call('LLEN', transit)
redis.call('HLEN', items)
local held = redis.call('ZMSCORE', delivering, unpack(ARGV))
for index, id in ipairs(ARGV) do
  if not held[index] and redis.call('HEXISTS', items, id) == 1 then
    redis.call('LREM', ids, 0, id)
    redis.call('LREM', transit, 0, id)
  end
end
redis.call('HDEL', items, unpack(ARGV))
return redis.call('ZREM', delivering, unpack(ARGV))
