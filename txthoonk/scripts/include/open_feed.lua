-- Looks for a feed and its configuration. Gives the error to answer with if it is not
-- there, else nothing; how many events of its history are kept, false for none; the value
-- of one more field, which some need, nil if the configuration cannot be read; the feed's
-- type, false if it has none; and the values of further fields.
local function open_feed(feeds, config, name, ...)
  local values = redis.pcall('HMGET', config, 'type', 'history', ...)
  -- Whoever deletes a feed deletes its configuration with it, so the type proves that it
  -- is there. A feed that has none is looked for in the registry.
  local failure
  if values.err and not string.find(values.err, 'WRONGTYPE', 1, true) then
    failure = values
  elseif not values[1] then
    failure = feed_missing(feeds, name) or not_configured(config, name)
  end
  local limit = math.floor(tonumber(values[2] or nil) or 0)
  return failure, limit > 0 and limit < 1e15 and limit, values[3], values[1], unpack(values, 4)
end
