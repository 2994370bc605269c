-- Returns the error to reply if a feed now has another type, else nothing. A user's own type can
-- be of any kind, and passes.
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
