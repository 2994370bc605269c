-- Gives the error to answer with if the job is not claimed, or not by the claim of a token,
-- else nothing. An empty token stands for whichever claim there is. Another implementation
-- that claims the job later leaves our entry as it is: its claim is newer than that.
local function not_claimed(name, id, token, score, entry)
  local held, time = string.match(entry or '', '^(%S+) (%S+)$')
  if not score or token ~= '' and (held ~= token or tonumber(score) > tonumber(time)) then
    return redis.error_reply("NOTCLAIMED job '" .. id .. "' of feed '" .. name
      .. "' is not claimed" .. (score and ' by who calls' or '')
      .. ': it may be finished, cancelled or taken away by a timeout')
  end
end
