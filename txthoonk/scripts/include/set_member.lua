-- Adds a member to a sorted set, or gives it another score, as a part of a change.
--- include restore_member
local function set_member(undo, key, member, score)
  local before = redis.call('ZSCORE', key, member)
  redis.call('ZADD', key, score, member)
  undo[#undo + 1] = function() restore_member(key, member, before, true) end
end
