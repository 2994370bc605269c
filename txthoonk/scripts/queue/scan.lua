-- List some of the ids that have an item, but are not being delivered, claimed or stalled.
--
-- KEYS
--   1 feed.items:[feed]        hash
--   2 feed.delivering:[feed]   sorted set
--   3 feed.claimed:[feed]      sorted set   of a job feed
--   4 feed.stalled:[feed]      set          of a job feed
-- ARGV
--   1 cursor of HSCAN; 0 to start
--   2 approximate number of items to scan
-- Reply: the next cursor, 0 at the end; the bytes of the scanned items; an array of ids
-- Errors: none
-- Events: none
-- Cost: O(m) for m items to scan

--- include scanned
local items, delivering, claimed, stalled = unpack(KEYS)

local cursor, ids, size = scanned(items, ARGV[1], ARGV[2])
local open = {}
-- Lua's stack takes some 8,000 arguments at a time.
for first = 1, #ids, 5000 do
  local last = math.min(first + 4999, #ids)
  local delivery = redis.call('ZMSCORE', delivering, unpack(ids, first, last))
  local claim = redis.call('ZMSCORE', claimed, unpack(ids, first, last))
  local stall = redis.call('SMISMEMBER', stalled, unpack(ids, first, last))
  for index = 1, #claim do
    if not delivery[index] and not claim[index] and stall[index] == 0 then
      open[#open + 1] = ids[first + index - 1]
    end
  end
end
return {cursor, size, open}
