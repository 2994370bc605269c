-- Sets a field of a hash, as a part of a change.
--- include restore_field
local function set_field(undo, key, field, value)
  local before = redis.call('HGET', key, field)
  redis.call('HSET', key, field, value)
  undo[#undo + 1] = function() restore_field(key, field, before, true) end
end
