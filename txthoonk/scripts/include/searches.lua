-- Returns how many ids one run may search in a list: comparing some 200,000 entries keeps the
-- server busy for a few milliseconds.
local function searches(ids)
  return math.max(1, math.min(500, math.floor(200000 / (redis.call('LLEN', ids) + 1))))
end
