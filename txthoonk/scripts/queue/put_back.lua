-- Put ids back to the front of the line that were taken, but found nobody to take them.
--
-- KEYS
--   1 feed.ids:[feed]          list
--   2 feed.transit:[feed]      list
--   3 feed.delivering:[feed]   sorted set
--   4 feed.claimed:[feed]      sorted set   of a job feed
--   5 feed.claims:[feed]       hash         of a job feed
-- ARGV
--   1.. id, time of its taking as get replied it, id, time, ...; the one that shall be
--     taken next comes last. An empty time stands for an id that BLMOVE has brought.
-- Reply: how many were put back; the others are in other hands by now
-- Errors: none
-- Events: none
-- Cost: O(log n) for each id

local ids, transit, delivering, claimed, claims = unpack(KEYS)

redis.call('LLEN', ids)
redis.call('LLEN', transit)
redis.call('ZCARD', claimed)
redis.call('ZCARD', delivering)
redis.call('HLEN', claims)

local function let_go(key, id, time)
  if tonumber(redis.call('ZSCORE', key, id) or nil) == tonumber(time) then
    return redis.call('ZREM', key, id)
  end
  return 0
end

local count = 0
for index = 1, #ARGV, 2 do
  local id, time = ARGV[index], ARGV[index + 1]
  local held
  if time == '' then
    held = redis.call('LREM', transit, 1, id) + redis.call('ZREM', delivering, id)
  else
    local claim = let_go(claimed, id, time)
    if claim > 0 then
      redis.call('HDEL', claims, id)
    end
    held = let_go(delivering, id, time) + claim
  end
  if held > 0 then
    redis.call('RPUSH', ids, id)
    count = count + 1
  end
end
return count
