-- Adds a member to a sorted set, or changes its score, as part of a change.
local function set_member(undo, key, member, score)
  local before = redis.call('ZSCORE', key, member)
  redis.call('ZADD', key, score, member)
  undo[#undo + 1] = function()
    if before then
      redis.call('ZADD', key, before, member)
    else
      redis.call('ZREM', key, member)
    end
  end
end
