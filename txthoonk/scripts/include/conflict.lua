-- Gives the answer if an item is not the one that the caller expects, else nothing. Each
-- item has a revision of its own; 0 is that of an item that is not there.
local function conflict(log, name, expect, items, id)
  if expect == '' then
    return
  end
  if not log then
    return no_history(name)
  end
  local item = redis.call('HGET', items, id)
  local own = item and (not log.void and log.own or log.base) or 0
  if own > tonumber(expect) or (not item and expect ~= '0') then
    return {'CONFLICT', own, item}
  end
end
