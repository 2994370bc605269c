-- Checks whether jobs with some ids exist, in any state. Returns index -> error to reply, for the
-- ids that exist or are given twice, and the first of these errors.
local function jobs_exist(items, delayed, options, name, ids)
  local seen, errors, first = {}, {}, nil
  local there, aside = redis.call('HMGET', items, unpack(ids)), {}
  -- In most feeds, there are neither delayed jobs nor options.
  local others = redis.call('EXISTS', delayed, options) > 0
  if others then
    aside = redis.call('ZMSCORE', delayed, unpack(ids))
  end
  for index, id in ipairs(ids) do
    if there[index] or aside[index] or seen[id] then
      errors[index] = redis.error_reply("JOBEXISTS feed '" .. name .. "' already has a job '"
        .. id .. "': retract it first, or choose another id")
      first = first or errors[index]
    end
    seen[id] = true
  end
  return errors, first, others
end
