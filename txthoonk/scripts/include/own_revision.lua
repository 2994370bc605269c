-- Gives the revision at which an item was changed last; 0 is that of an item that is not
-- there.
local function own_revision(log, item, id)
  if not item then
    return 0
  end
  local own = not log.void and redis.call('HGET', log.revision, id)
  return own and whole(own) <= log.top and whole(own) or log.base
end
