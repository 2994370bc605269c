-- List the feeds that have jobs in line and are not paused.
--
-- KEYS
--   1 feed.ids:[feed]         list
--   2.. feed.config:[feed]    hash         and then both of the next feed
-- ARGV: none
-- Reply: an array: the indexes of these feeds, from 0; a feed that cannot be read is among
--   them, so that the caller gets the error when it takes a job
-- Errors: none
-- Events: none
-- Cost: O(1) for each feed

local found = {}
for first = 1, #KEYS, 2 do
  local ids, config = unpack(KEYS, first, first + 1)
  local length, paused = redis.pcall('LLEN', ids), redis.pcall('HGET', config, 'paused')
  if length ~= 0 and (type(paused) ~= 'string' or paused == '0') then
    found[#found + 1] = (first - 1) / 2
  end
end
return found
