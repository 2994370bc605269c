-- Scans some fields of a hash; returns the next cursor, the fields, and the bytes of their values.
local function scanned(key, from, count)
  local cursor, flat = unpack(redis.call('HSCAN', key, from, 'COUNT', count))
  local fields, size = {}, 0
  for index = 1, #flat, 2 do
    fields[#fields + 1] = flat[index]
    size = size + #flat[index + 1]
  end
  return cursor, fields, size
end
