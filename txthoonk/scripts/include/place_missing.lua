-- Gives the error to answer with if there is no such place in a list, else nothing.
local function place_missing(ids, items, name, where, relative)
  if where == 'begin' or where == 'end' then
    redis.call('LLEN', ids)
    return
  end
  local failure = item_missing(items, name, relative)
  if not failure and not redis.call('LPOS', ids, relative) then
    failure = redis.error_reply("NOITEM feed '" .. name .. "' has an item '" .. relative
      .. "', but no place for it: move or retract it")
  end
  return failure
end
