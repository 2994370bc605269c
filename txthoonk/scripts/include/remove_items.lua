-- Removes items from a feed whose order is a sorted set.
local function remove_items(ids, items, gone)
  -- Lua's stack takes some 8,000 arguments at a time.
  for first = 1, gone and #gone or 0, 5000 do
    local last = math.min(first + 4999, #gone)
    redis.call('ZREM', ids, unpack(gone, first, last))
    redis.call('HDEL', items, unpack(gone, first, last))
  end
end
