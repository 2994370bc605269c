-- Tell which feeds have jobs in the line that may be taken.
--
-- KEYS
--   1 feed.ids:[feed]         list
--   2.. feed.config:[feed]    hash         and then both of the next feed
-- ARGV: none
-- Reply: an array: which of the feeds they are, the first being 0; one that cannot be looked
--   at is among them, so that who takes from it learns why
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
