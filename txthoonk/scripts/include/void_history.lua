-- Makes the history void until keep_history stores its position, as part of a change that writes
-- no other hash before it publishes. So a subscriber that has seen a revision that will not exist
-- starts again.
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
