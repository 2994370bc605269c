-- Returns the error to reply if a caller would read the items of a feed with another serializer
-- than the feed's, or if that cannot be read, else nothing. A configuration that is not a hash names
-- none. A feed that does not exist has no items.
local function read_with(config, name, used)
  local stored = redis.pcall('HGET', config, 'serializer')
  if type(stored) == 'table' and not string.find(stored.err, 'WRONGTYPE', 1, true) then
    return stored
  end
  if type(stored) == 'string' or (used ~= 'text' and redis.call('EXISTS', config) == 1) then
    return other_serializer(name, type(stored) == 'string' and stored, used)
  end
end
