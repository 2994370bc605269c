-- Gives the score that puts an item behind all others: the time, or above the last score
-- where the clock is not. If no number is above it, gives false and the error to answer with.
local function next_score(time, last, ids)
  if not last or time > last then
    return time
  end
  local score = last + 0.001
  if score <= last then
    -- So far from zero that a microsecond is lost in rounding.
    local _, exponent = math.frexp(last)
    score = last + math.ldexp(1, exponent - 53)
  end
  if score < math.huge then
    return score
  end
  return false, redis.error_reply('SCOREINFINITE ' .. ids .. ' holds an infinite score: retract that id first')
end
