-- Gives the error to answer with if the job is not claimed by the claim of a token, else
-- nothing.
--- include holds_claim
local function not_claimed(name, id, token, score, entry)
  if not holds_claim(token, score, entry) then
    return redis.error_reply("NOTCLAIMED job '" .. id .. "' of feed '" .. name .. "' is not claimed"
      .. (score and ' by who calls' or '') .. ', it may be finished, cancelled or taken away by a timeout')
  end
end
