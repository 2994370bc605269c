-- Returns the error to reply if the feed has no item with that id, else nothing.
local function item_missing(items, name, id)
  if redis.call('HEXISTS', items, id) == 0 then
    return redis.error_reply("NOITEM feed '" .. name .. "' has no item '" .. id .. "'")
  end
end
