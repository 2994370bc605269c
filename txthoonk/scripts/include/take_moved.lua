-- Takes an id that BLMOVE has brought from where it waits, as a part of a change.
local function take_moved(undo, transit, delivering, id)
  local found = redis.call('LREM', transit, 1, id)
  undo[#undo + 1] = function()
    if found > 0 then
      redis.call('LPUSH', transit, id)
    end
  end
  found = found + redis.call('ZREM', delivering, id)
end
