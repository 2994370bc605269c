-- Observe ids that are in transit, from now on.
--
-- KEYS
--   1 feed.transit:[feed]      list
--   2 feed.delivering:[feed]   sorted set
-- ARGV
--   1 the most ids
-- Reply: the number of ids
-- Errors: none
-- Events: none
-- Cost: O(log n) for each

--- include now
--- include change
local transit, delivering = unpack(KEYS)

local time = string.format('%.17g', now())
return change(function(undo)
  -- RPOP comes first: when memory is full, Redis allows it, and then the rest.
  local ids = redis.call('RPOP', transit, ARGV[1]) or {}
  undo[1] = function()
    for index = #ids, 1, -1 do
      redis.call('RPUSH', transit, ids[index])
    end
  end
  for _, id in ipairs(ids) do
    redis.call('ZADD', delivering, 'NX', time, id)
  end
  return #ids
end)
