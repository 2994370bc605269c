-- Gives the error to answer with where a feed knows no revisions.
local function no_history(name)
  return redis.error_reply("NOHISTORY feed '" .. name .. "' keeps no history, so it knows no "
    .. "revisions: set its configuration 'history' first")
end
