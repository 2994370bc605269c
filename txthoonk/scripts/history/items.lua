-- Read items and the position of the feed's history, as of one moment.
--
-- KEYS
--   1 feed.items:[feed]       hash
--   2 feed.revision:[feed]    hash
-- ARGV
--   1.. ids
-- Reply: the present epoch and revision, if the feed keeps a history, and the items; only
--   those of the first ids, if they are big
-- Errors: none
-- Events: none
-- Cost: O(m) for m ids

--- include fields_from
--- include some_items
local items, revision = unpack(KEYS)

local epoch, top = unpack(redis.call('HMGET', revision, '\0epoch', '\0revision'))
return {epoch, top, some_items(items, fields_from(1), #ARGV)}
