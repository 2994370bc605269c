-- Returns the error to reply if the claim with a token is not valid, else nothing.
--- include holds_claim
local function not_claimed(name, id, token, score, entry)
  if not holds_claim(token, score, entry) then
    return redis.error_reply("NOTCLAIMED job '" .. id .. "' of feed '" .. name .. "' is not claimed"
      .. (score and ' by this caller' or '') .. ' (it may be finished or cancelled, or its claim has expired)')
  end
end
