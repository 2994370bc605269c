-- Returns the error to reply if a caller would read the items of a feed with another serializer
-- than the feed's, else nothing. A feed that does not exist has no items.
local function read_with(config, name, used)
  local stored = redis.pcall('HGET', config, 'serializer')
  if type(stored) == 'string' or (used ~= 'text' and redis.call('EXISTS', config) == 1) then
    return other_serializer(name, type(stored) == 'string' and stored, used)
  end
end
