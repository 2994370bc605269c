-- Gives the error to answer with if an id is that of a job in whatever state, else nothing.
local function job_exists(items, delayed, name, id)
  if redis.call('HEXISTS', items, id) == 1 or redis.call('ZSCORE', delayed, id) then
    return redis.error_reply("JOBEXISTS feed '" .. name .. "' has a job '" .. id
      .. "' already: retract it first, or choose another id")
  end
end
