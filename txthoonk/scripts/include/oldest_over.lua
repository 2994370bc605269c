-- Lists the oldest ids that must go so that a feed holds max items once the id is
-- in it. The id itself never goes.
local function oldest_over(ids, max, id, known)
  local over = redis.call('ZCARD', ids) + (known and 0 or 1) - max
  if over <= 0 then
    return {}
  end
  local oldest = redis.call('ZRANGE', ids, 0, known and over or over - 1)
  for index, candidate in ipairs(oldest) do
    if candidate == id then
      table.remove(oldest, index)
      break
    end
  end
  oldest[over + 1] = nil
  return oldest
end
