-- Returns the error to reply if the feed has another type, else nothing.
-- A feed without a type is a plain feed, in all implementations.
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
