-- Adds the undo of keep_results to a change: it restores results of earlier jobs with the same
-- ids.
local function forgettable(undo, results, time, stored)
  for _, one in ipairs(stored) do
    if one.wanted then
      one.earlier = redis.call('LRANGE', one.key, 0, 1)
    end
  end
  undo[#undo + 1] = function()
    for _, one in ipairs(stored) do
      redis.call('DEL', one.key)
      if one.earlier and #one.earlier > 0 then
        redis.call('RPUSH', one.key, unpack(one.earlier))
        if tonumber(one.wanted) > time then
          redis.call('PEXPIRE', one.key, math.ceil(one.wanted - time))
        end
      end
      redis.call('ZREM', results, one.id .. '\0')
      if one.wanted then
        redis.call('ZADD', results, one.wanted, one.id)
      else
        redis.call('ZREM', results, one.id)
      end
    end
  end
end
