-- Returns which of some hashes have fields, as key -> true. In most feeds, none has any.
local function filled(...)
  local found = {}
  if redis.call('EXISTS', ...) > 0 then
    for _, key in ipairs({...}) do
      found[key] = redis.call('HLEN', key) > 0
    end
  end
  return found
end
