-- Gives the error to answer with if a feed is none of jobs any more, else nothing.
local function not_jobs(name, kind)
  if kind and kind ~= 'job' then
    return redis.error_reply("WRONGFEEDTYPE feed '" .. name .. "' is of type '" .. kind .. "', not 'job'")
  end
end
