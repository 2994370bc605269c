-- Returns the reply if an item is not the one that the caller expects, else nothing.
local function conflict(log, name, expect, items, id)
  if expect == '' then
    return
  end
  if not log then
    return no_history(name)
  end
  local item = redis.call('HGET', items, id)
  local own = own_revision(log, item, id)
  if own > tonumber(expect) or (not item and expect ~= '0') then
    return {'CONFLICT', own, item}
  end
end
