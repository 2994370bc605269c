-- Returns the score that places an item after all others: the time, or a number just above the
-- last score if the clock is not. If there is no such number, returns false and the error to reply.
local function next_score(time, last, ids)
  if not last or time > last then
    return time
  end
  local score = last + 0.001
  if score <= last then
    -- The score is so large that rounding loses a microsecond.
    local _, exponent = math.frexp(last)
    score = last + math.ldexp(1, exponent - 53)
  end
  if score < math.huge then
    return score
  end
  return false, redis.error_reply('SCOREINFINITE ' .. ids .. ' has an infinite score: retract that id first')
end
