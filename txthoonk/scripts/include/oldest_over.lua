-- Returns the oldest ids to remove so that a feed has max items once the id is in it, up to most;
-- and how many more there are to remove. The id itself is never among them.
local function oldest_over(ids, max, id, known, most)
  local over = redis.call('ZCARD', ids) + (known and 0 or 1) - max
  if over <= 0 then
    return {}, 0
  end
  local count = math.min(over, most)
  local oldest = redis.call('ZRANGE', ids, 0, known and count or count - 1)
  for index, candidate in ipairs(oldest) do
    if candidate == id then
      table.remove(oldest, index)
      break
    end
  end
  oldest[count + 1] = nil
  return oldest, over - count
end
