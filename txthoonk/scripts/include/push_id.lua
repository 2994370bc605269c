-- Adds an id at an end of a list, LPUSH or RPUSH, as part of a change.
local function push_id(undo, push, key, id)
  redis.call(push, key, id)
  undo[#undo + 1] = function() redis.call('LREM', key, push == 'LPUSH' and 1 or -1, id) end
end
