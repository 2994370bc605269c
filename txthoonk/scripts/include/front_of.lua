-- Reads the front of a line, which is the right end of a list. Returns up to count ids that
-- have an item and are not held, their items, and the entries to remove from the list, the front
-- last: these include useless entries between the ids. An id that has arrived with its item comes
-- first, and counts. Stops at about a megabyte of items.
local function front_of(ids, items, held, count, arrival, item)
  local found, contents, seen, line, size, step = {}, {}, {}, {}, 0, 1
  if item then
    found[1], contents[1], seen[arrival], size = arrival, item, true, #item
  end
  while #found < count and #line < 1000 and size < 1000000 do
    local some = redis.call('LRANGE', ids, #found - #line - count, -#line - 1)
    local left = #some
    if left == 0 then
      break
    end
    local scores = redis.call('ZMSCORE', held, unpack(some))
    while left > 0 and size < 1000000 do
      -- Read one, sixteen, ... items: their size is known only after reading them.
      local first = math.max(1, left - step + 1)
      local theirs = redis.call('HMGET', items, unpack(some, first, left))
      for index = left, first, -1 do
        local id, its = some[index], theirs[index - first + 1]
        if its then
          size = size + #its
          if not scores[index] and not seen[id] then
            local at = #found + 1
            seen[id], found[at], contents[at] = true, id, its
          end
        end
      end
      left, step = first - 1, 16 * step
    end
    if left == 0 and #line == 0 then
      line = some
    else
      local more = {unpack(some, left + 1)}
      for _, id in ipairs(line) do
        more[#more + 1] = id
      end
      line = more
    end
  end
  return found, contents, line
end
