-- Read a part of the order of a sorted feed and the position of its history, as of one moment.
-- If it keeps no history, a message marks that moment for the reader's subscriber.
--
-- KEYS
--   1 feed.ids:[feed]         list
--   2 feed.revision:[feed]    hash
-- ARGV
--   1 first rank
--   2 last rank, inclusive
--   3 the reader's own channel
--   4 message; empty for none
-- Reply: the present epoch and revision, if the feed keeps a history, and the ids in their order
-- Errors: none
-- Events: none; the message
-- Cost: O(s + m) for m ids that begin s ids from the nearer end

local ids, revision = KEYS[1], KEYS[2]
local first, last, channel, message = unpack(ARGV)

local epoch, top = unpack(redis.call('HMGET', revision, '\0epoch', '\0revision'))
local order = redis.call('LRANGE', ids, first, last)
if message ~= '' then
  redis.call('PUBLISH', channel, message)
end
return {epoch, top, order}
