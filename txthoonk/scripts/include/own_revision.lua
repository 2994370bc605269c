-- Gives the revision at which an item was changed last; 0 is that of an item that is not
-- there.
local function own_revision(log, item, id)
  if not item then
    return 0
  end
  return not log.void and tonumber(redis.call('HGET', log.revision, id) or nil) or log.base
end
