-- Read ids and items of one moment, by rank.
--
-- KEYS
--   1 feed.ids:[feed]         sorted set
--   2 feed.items:[feed]       hash
-- ARGV
--   1 first rank; negative ranks count from the end
--   2 last rank, included
-- Reply: two arrays, the ids and their items in the same order
-- Errors: none
-- Events: none
-- Cost: O(log n + m) for m items in the range

local ids = redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[2])
local items = {}
-- Lua's stack takes some 8,000 arguments at a time.
for first = 1, #ids, 5000 do
  local last = math.min(first + 4999, #ids)
  local some = redis.call('HMGET', KEYS[2], unpack(ids, first, last))
  for index = 1, #some do
    items[first + index - 1] = some[index]
  end
end
return {ids, items}
