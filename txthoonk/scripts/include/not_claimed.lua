-- Gives the error to answer with if the job is not claimed, else nothing.
local function not_claimed(claimed, name, id)
  if not redis.call('ZSCORE', claimed, id) then
    return redis.error_reply("NOTCLAIMED job '" .. id .. "' of feed '" .. name
      .. "' is not claimed: it may be finished, cancelled or taken away by a timeout")
  end
end
