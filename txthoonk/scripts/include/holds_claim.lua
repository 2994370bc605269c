-- Returns whether the claim with a token is valid; an empty token stands for any claim. If another
-- implementation claims the job later, our entry stays, but its claim is newer than the entry.
local function holds_claim(token, score, entry)
  local held, time = string.match(entry or '', '^(%S+) (%S+)$')
  time = tonumber(time or nil)
  return score and (token == '' or held == token and time and in_milliseconds(score) <= in_milliseconds(time))
end
