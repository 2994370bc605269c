-- Reads the items of ids, in their order; false for an id without an item.
local function items_of(key, ids)
  local items = {}
  -- Lua's stack takes some 8,000 arguments at a time.
  for first = 1, #ids, 5000 do
    local last = math.min(first + 4999, #ids)
    local some = redis.call('HMGET', key, unpack(ids, first, last))
    for index = 1, #some do
      items[first + index - 1] = some[index]
    end
  end
  return items
end
