-- Returns the error to reply if a caller used another serializer than the feed's, else nothing. An
-- empty one stands for items that the caller takes as they are stored.
local function other_serializer(name, stored, used)
  stored = stored or 'text'
  if used ~= '' and used ~= stored then
    return redis.error_reply("OTHERSERIALIZER feed '" .. name .. "' has the serializer '" .. stored
      .. "', not '" .. used .. "': read its configuration again")
  end
end
