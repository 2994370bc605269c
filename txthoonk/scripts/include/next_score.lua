-- Gives the score that puts an item behind all others: the server's clock in
-- milliseconds with its microseconds as the fraction, but above the last score
-- whatever the clock says. False if no number is above it.
local function next_score(ids)
  local score = now()
  local last = tonumber(redis.call('ZREVRANGE', ids, 0, 0, 'WITHSCORES')[2])
  if last and score <= last then
    score = last + 0.001
    if score <= last then
      -- So far from zero that a microsecond is lost in rounding.
      local _, exponent = math.frexp(last)
      score = last + math.ldexp(1, exponent - 53)
    end
  end
  return score < math.huge and string.format('%.17g', score)
end
