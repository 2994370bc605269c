-- Returns the error to reply if a feed has no revisions.
local function no_history(name)
  return redis.error_reply("NOHISTORY feed '" .. name .. "' keeps no history, so it has no "
    .. "revisions: set 'history' in its configuration first")
end
