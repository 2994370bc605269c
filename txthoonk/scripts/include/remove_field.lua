-- Removes a field of a hash, if it exists, as part of a change; returns its value.
local function remove_field(undo, key, field)
  local value = redis.call('HGET', key, field)
  if value then
    redis.call('HDEL', key, field)
    undo[#undo + 1] = function() redis.call('HSET', key, field, value) end
  end
  return value
end
