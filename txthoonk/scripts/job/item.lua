-- Read the item of a job, which may be delayed.
--
-- KEYS
--   1 feed.items:[feed]       hash
--   2 feed.later:[feed]       hash
--   3 feed.config:[feed]      hash
-- ARGV
--   1 name of the feed
--   2 the serializer to read the item with, empty to read it as it is stored
--   3 id
-- Reply: the item, nil if there is none
-- Errors: OTHERSERIALIZER
-- Events: none
-- Cost: O(1)

--- include other_serializer
--- include read_with
local items, later, config = unpack(KEYS)
local name, used, id = unpack(ARGV)

local failure = read_with(config, name, used)
if failure then
  return failure
end
local item = redis.call('HGET', items, id)
if item then
  return item
end
local aside = redis.call('HGET', later, id)
return aside and string.sub(aside, 2)
