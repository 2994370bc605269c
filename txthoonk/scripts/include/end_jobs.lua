-- Removes jobs that finishing has found, and their claims, as a part of a change.
--- include restore_field
local function end_jobs(undo, claimed, claims, items, stored, done)
  redis.call('ZREM', claimed, unpack(done))
  undo[#undo + 1] = function()
    for _, one in ipairs(stored) do
      redis.call('ZADD', claimed, one.score, one.id)
    end
  end
  redis.call('HDEL', claims, unpack(done))
  undo[#undo + 1] = function()
    for _, one in ipairs(stored) do
      restore_field(claims, one.id, one.entry, one.entry)
    end
  end
  redis.call('HDEL', items, unpack(done))
  undo[#undo + 1] = function()
    for _, one in ipairs(stored) do
      restore_field(items, one.id, one.item, one.item)
    end
  end
end
