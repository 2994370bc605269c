-- Returns the error to reply if a caller would read the items of a feed with another serializer
-- than the feed's, else nothing. A feed that does not exist has no items.
local function read_with(config, name, used)
  local found = redis.pcall('HMGET', config, 'type', 'serializer')
  return (found[1] or found[2]) and other_serializer(name, found[2], used) or nil
end
