-- Returns the revision of an item's last change; 0 if there is no item.
local function own_revision(log, item, id)
  if not item then
    return 0
  end
  local own = not log.void and redis.call('HGET', log.revision, id)
  return own and whole(own) <= log.top and whole(own) or log.base
end
