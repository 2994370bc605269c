-- Gives how many ids one run may look for in a list: some 200,000 entries to compare
-- keep the server busy for a few milliseconds.
local function searches(ids)
  return math.max(1, math.min(500, math.floor(200000 / (redis.call('LLEN', ids) + 1))))
end
