-- Read items by their ids.
--
-- KEYS
--   1 feed.config:[feed]   hash
--   2 feed.items:[feed]    hash
-- ARGV
--   1 name of the feed
--   2 the serializer to read the items with, empty to read them as they are stored
--   3.. ids
-- Reply: for each its item, nil if there is none
-- Errors: OTHERSERIALIZER
-- Events: none
-- Cost: O(1) for each

--- include other_serializer
--- include read_with
local config, items = unpack(KEYS)
local name, used = unpack(ARGV, 1, 2)

return read_with(config, name, used) or redis.call('HMGET', items, unpack(ARGV, 3))
