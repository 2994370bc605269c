-- Removes the jobs that finishing has found, and their claims, as part of a change. First it
-- writes values that are already there, to make sure that Redis does not refuse undo.
local function end_jobs(undo, claimed, claims, items, stored, done, scores, entries)
  local id, at = stored[1].id, stored[1].at
  redis.call('ZADD', claimed, scores[at], id)
  if entries[at] then
    redis.call('HSET', claims, id, entries[at])
  end
  undo[#undo + 1] = function()
    for _, one in ipairs(stored) do
      redis.call('ZADD', claimed, scores[one.at], one.id)
      if entries[one.at] then
        redis.call('HSET', claims, one.id, entries[one.at])
      end
      if one.item then
        redis.call('HSET', items, one.id, one.item)
      end
    end
  end
  redis.call('ZREM', claimed, unpack(done))
  redis.call('HDEL', claims, unpack(done))
  redis.call('HDEL', items, unpack(done))
end
