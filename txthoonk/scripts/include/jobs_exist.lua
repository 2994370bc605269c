-- Looks for ids among the jobs in whatever state. Gives the errors to answer with for those
-- that there are, or that come twice, by their place; and the first of them.
local function jobs_exist(items, delayed, name, ids)
  local seen, errors, first = {}, {}, nil
  local there, aside = redis.call('HMGET', items, unpack(ids)), redis.call('ZMSCORE', delayed, unpack(ids))
  for index, id in ipairs(ids) do
    if there[index] or aside[index] or seen[id] then
      errors[index] = redis.error_reply("JOBEXISTS feed '" .. name .. "' has a job '" .. id
        .. "' already: retract it first, or choose another id")
      first = first or errors[index]
    end
    seen[id] = true
  end
  return errors, first
end
