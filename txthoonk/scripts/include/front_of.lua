-- Looks at the front of a line, which is a list's right end. Gives up to count ids
-- that have an item and are not held by somebody, their items, and the entries of the list
-- that must go with them, the front first: those in between are of no use. An id that has
-- arrived with its item comes first, and counts. Big items are enough when they make about a
-- megabyte.
local function front_of(ids, items, held, count, arrival, item)
  local found, contents, seen, line, size, step = {}, {}, {}, {}, 0, 1
  if item then
    found[1], contents[1], seen[arrival], size = arrival, item, true, #item
  end
  while #found < count and #line < 1000 and size < 1000000 do
    -- One, sixteen, ...: how big the next ones are is not known before they are read.
    local some = redis.call('LRANGE', ids, -#line - math.min(step, count - #found), -#line - 1)
    step = 16 * step
    if #some == 0 then
      break
    end
    local theirs = redis.call('HMGET', items, unpack(some))
    local scores = redis.call('ZMSCORE', held, unpack(some))
    for index = #some, 1, -1 do
      local id = some[index]
      line[#line + 1] = id
      size = size + (theirs[index] and #theirs[index] or 0)
      if theirs[index] and not scores[index] and not seen[id] then
        seen[id] = true
        found[#found + 1] = id
        contents[#contents + 1] = theirs[index]
      end
    end
  end
  return found, contents, line
end
