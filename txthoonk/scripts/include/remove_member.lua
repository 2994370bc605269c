-- Removes a member of a sorted set, if it exists, as part of a change; returns its score.
local function remove_member(undo, key, member)
  local score = redis.call('ZSCORE', key, member)
  if score then
    redis.call('ZREM', key, member)
    undo[#undo + 1] = function() redis.call('ZADD', key, score, member) end
  end
  return score
end
