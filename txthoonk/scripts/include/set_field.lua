-- Sets a field of a hash, as part of a change.
local function set_field(undo, key, field, value)
  local before = redis.call('HGET', key, field)
  redis.call('HSET', key, field, value)
  undo[#undo + 1] = function()
    if before then
      redis.call('HSET', key, field, before)
    else
      redis.call('HDEL', key, field)
    end
  end
end
