-- Gives the error to answer with if a feed is of another type by now, else nothing. Of
-- what kind a type of somebody's own is, only he knows.
local function wrong_type(name, type, wanted, config)
  if type == wanted then
    return
  end
  local kinds = {feed = 'feed', sorted_feed = 'sorted_feed', queue = 'queue', pyqueue = 'queue', job = 'job'}
  local kind = kinds[type]
  if not type then
    return not_configured(config, name, true)
  end
  if kind and kind ~= wanted then
    return redis.error_reply("WRONGFEEDTYPE feed '" .. name .. "' is of type '" .. type .. "', not '" .. wanted .. "'")
  end
end
