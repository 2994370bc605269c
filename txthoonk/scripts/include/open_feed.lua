-- Reads the configuration of a feed. Returns the error to reply if the feed does not exist, else
-- nothing; how many events its history keeps, false for none; the value of one more field, which
-- some scripts need; the feed's type, false if it has none; and the values of further fields.
--- include config_value
local function open_feed(feeds, config, name, ...)
  local values = redis.pcall('HMGET', config, 'type', 'history', ...)
  -- Deleting a feed deletes its configuration, so a type proves that the feed exists. If there is
  -- no type, check the registry.
  local failure
  if values.err and not string.find(values.err, 'WRONGTYPE', 1, true) then
    failure = values
  elseif values.err then
    failure = feed_missing(feeds, name) or select(2, config_value(config, 'type'))
  elseif not values[1] then
    failure = feed_missing(feeds, name) or not_configured(config, name)
  end
  local limit = math.floor(tonumber(values[2] or nil) or 0)
  return failure, limit > 0 and limit < 1e15 and limit, values[3], values[1], unpack(values, 4)
end
