-- Returns the error to reply if a place in a list does not exist, else nothing.
local function place_missing(ids, items, name, where, relative)
  if where == 'begin' or where == 'end' then
    redis.call('LLEN', ids)
    return
  end
  local failure = item_missing(items, name, relative)
  if not failure and not redis.call('LPOS', ids, relative) then
    failure = redis.error_reply("NOITEM feed '" .. name .. "' has an item '" .. relative
      .. "' that is missing from its order: move or retract that item first")
  end
  return failure
end
