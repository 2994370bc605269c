-- Read items, and where the history of the feed stands, of one moment. If it keeps none, a
-- message tells the reader's subscriber the moment.
--
-- KEYS
--   1 feed.items:[feed]       hash
--   2 feed.revision:[feed]    hash
-- ARGV
--   1 the reader's own channel, empty if the feed keeps a history
--   2 message
--   3.. ids
-- Reply: the present epoch and revision, if the feed keeps a history, and the items
-- Errors: none
-- Events: none; the message, where there is no history
-- Cost: O(m) for m ids

--- include fields_from
--- include items_of
local items, revision = unpack(KEYS)
local channel, message = ARGV[1], ARGV[2]

local epoch, top = unpack(redis.call('HMGET', revision, '\0epoch', '\0revision'))
local contents = items_of(items, fields_from(3))
if channel ~= '' then
  redis.call('PUBLISH', channel, message)
end
return {epoch, top, contents}
