-- Lists the oldest results, as many as there are too many, and up to 100. Those of jobs that
-- are not finished are wanted only: they do not count, nor do those that are wanted still, as
-- the entry of the id and a NUL says.
local function old_results(results, items, most)
  local over = redis.call('ZCARD', results) - most
  if over <= 0 then
    return {}
  end
  local ids, old, time = redis.call('ZRANGE', results, 0, math.min(over, 100) + 199), {}, now()
  local there = redis.call('HMGET', items, unpack(ids))
  for index, id in ipairs(ids) do
    local wanted = redis.call('ZSCORE', results, id .. '\0')
    if there[index] or string.sub(id, -1) == '\0' or wanted and tonumber(wanted) > time then
      over = over - 1
    else
      old[#old + 1] = id
    end
  end
  return {unpack(old, 1, math.max(0, math.min(over, 100)))}
end
