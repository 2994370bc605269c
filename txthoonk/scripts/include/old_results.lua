-- Lists the oldest results, some at the most. Those of jobs that are not finished are wanted
-- only: they do not count.
local function old_results(results, items, most)
  local ids = redis.call('ZRANGE', results, 0, most + 99)
  local there, old = redis.call('HMGET', items, unpack(ids)), {}
  for index, id in ipairs(ids) do
    if not there[index] then
      old[#old + 1] = id
    else
      most = most - 1
    end
  end
  return {unpack(old, 1, math.max(most, 0))}
end
