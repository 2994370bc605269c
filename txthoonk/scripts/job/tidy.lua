-- Remove the records of jobs that another implementation has ended.
--
-- KEYS
--   1 feed.items:[feed]       hash
--   2 feed.later:[feed]       hash
--   3 feed.[part]:[feed]      hash         whose fields are ids, such as failures
-- ARGV
--   1 cursor of HSCAN; 0 to start
--   2 approximate number of records to scan
-- Reply: the next cursor, 0 at the end
-- Errors: none
-- Events: none
-- Cost: O(m) for m records to scan

local items, later, records = unpack(KEYS)

local cursor, flat = unpack(redis.call('HSCAN', records, ARGV[1], 'COUNT', ARGV[2]))
for index = 1, #flat, 2 do
  local id = flat[index]
  if redis.call('HEXISTS', items, id) == 0 and redis.call('HEXISTS', later, id) == 0 then
    redis.call('HDEL', records, id)
  end
end
return cursor
