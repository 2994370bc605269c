-- Reads the items of ids, in their order, up to about a megabyte; false for an id without an item.
local function some_items(key, ids, most)
  local items, size = {}, 0
  for first = 1, math.min(#ids, most), 20 do
    local last = math.min(first + 19, #ids, most)
    local some = redis.call('HMGET', key, unpack(ids, first, last))
    for index = 1, #some do
      items[#items + 1] = some[index]
      size = size + (some[index] and #some[index] or 0)
    end
    if size > 1000000 then
      break
    end
  end
  return items
end
