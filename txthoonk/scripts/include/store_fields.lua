-- Stores field, value, field, value, ... in a hash.
local function store_fields(key, fields)
  -- Lua's stack takes some 8,000 arguments at a time.
  for first = 1, #fields, 4000 do
    redis.call('HSET', key, unpack(fields, first, math.min(first + 3999, #fields)))
  end
end
