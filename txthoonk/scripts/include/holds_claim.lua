-- Tells whether a job is claimed by the claim of a token; an empty one stands for whichever
-- claim there is. Another implementation that claims the job later leaves our entry as it is:
-- its claim is newer than that.
local function holds_claim(token, score, entry)
  local held, time = string.match(entry or '', '^(%S+) (%S+)$')
  time = tonumber(time or nil)
  return score and (token == '' or held == token and time and tonumber(score) <= time)
end
