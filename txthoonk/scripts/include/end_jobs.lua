-- Removes jobs that finishing has found, and their claims, as a part of a change. What puts them
-- back is met first, where it is used later on, too: it writes what is there.
--- include restore_field
local function end_jobs(undo, claimed, claims, items, stored, done, scores, entries)
  local first = stored[1]
  redis.call('ZADD', claimed, scores[first.at], first.id)
  restore_field(claims, first.id, entries[first.at], entries[first.at])
  undo[#undo + 1] = function()
    for _, one in ipairs(stored) do
      redis.call('ZADD', claimed, scores[one.at], one.id)
      restore_field(claims, one.id, entries[one.at], entries[one.at])
      restore_field(items, one.id, one.item, one.item)
    end
  end
  redis.call('ZREM', claimed, unpack(done))
  redis.call('HDEL', claims, unpack(done))
  redis.call('HDEL', items, unpack(done))
end
