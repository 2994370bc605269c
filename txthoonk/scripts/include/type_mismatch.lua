-- Gives the error to answer with if the feed is of another type, else nothing.
-- A feed without a type is a plain feed: so do all Thoonks take it.
local function type_mismatch(config, name, wanted)
  local type, failure = config_value(config, 'type')
  if failure then
    return failure
  end
  type = type or 'feed'
  if type ~= wanted then
    return redis.error_reply("WRONGFEEDTYPE feed '" .. name .. "' is of type '" .. type
      .. "', not '" .. wanted .. "'")
  end
end
