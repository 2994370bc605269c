-- Reads entries of a stream from one revision to another, up to about a megabyte: the revision
-- and the fields of each. Entries that another program added after the last one are left out.
local function some_entries(history, first, last, most)
  local entries, size = {}, 0
  while #entries < most and size < 1000000 do
    local count = math.min(20, most - #entries)
    local some = redis.call('XRANGE', history, first, last, 'COUNT', count)
    for _, entry in ipairs(some) do
      entry[1] = string.match(entry[1], '%d+')
      entries[#entries + 1] = entry
      for _, word in ipairs(entry[2]) do
        size = size + #word
      end
    end
    if #some < count then
      break
    end
    first = string.format('%.0f', entries[#entries][1] + 1)
  end
  return entries
end
