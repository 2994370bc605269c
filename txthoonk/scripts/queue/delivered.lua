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
-- Cost: O(log n) for each id; O(n) for one that maintenance has put back meanwhile, because
--   the consumer was disconnected for too long

--- include change
local ids, items, transit, delivering = unpack(KEYS)

local held = redis.call('ZMSCORE', delivering, unpack(ARGV))
return change(function(undo)
  local removed = redis.call('ZREM', delivering, unpack(ARGV))
  undo[1] = function()
    for index, id in ipairs(ARGV) do
      if held[index] then
        redis.call('ZADD', delivering, held[index], id)
      end
    end
  end
  if removed < #ARGV then
    -- If Redis refuses removals, this fails before LREM, which has no undo. No id has a NUL.
    redis.call('HDEL', items, '\0')
    redis.call('LLEN', transit)
    for index, id in ipairs(ARGV) do
      if not held[index] and redis.call('HEXISTS', items, id) == 1 then
        redis.call('LREM', ids, 0, id)
        redis.call('LREM', transit, 0, id)
      end
    end
  end
  redis.call('HDEL', items, unpack(ARGV))
  return removed
end)
