-- Makes the history void until keep_history says where it stands, as a part of a change that
-- writes no other hash before anything is told: so whoever has heard then of a revision that
-- there will not be begins anew.
local function void_history(undo, log)
  if not log then
    return
  end
  redis.call('HSET', log.revision, '\0epoch', '')
  log.voided = true
  undo[#undo + 1] = function()
    if not log.told and log.stored then
      redis.call('HSET', log.revision, '\0epoch', log.stored)
    elseif not log.told then
      redis.call('HDEL', log.revision, '\0epoch')
    end
  end
end
