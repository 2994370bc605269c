-- Put a new job into the line.
--
-- KEYS
--   1 feeds                   set          the registry
--   2 feed.ids:[feed]         list
--   3 feed.items:[feed]       hash
--   4 feed.publishes:[feed]   string
--   5 feed.published:[feed]   sorted set
-- ARGV
--   1 name of the feed
--   2 channel feed.publishes:[feed]
--   3 LPUSH: to the end of the line, RPUSH: to its front
--   4 id
--   5 item
-- Reply: the id
-- Errors: NOFEED, JOBEXISTS
-- Events: feed.publishes
-- Cost: O(log n)

--- include feed_missing
--- include now
--- include undo_count
--- include announce
local feeds, ids, items, publishes, published = unpack(KEYS)
local name, channel, push, id, item = unpack(ARGV)

local failure = feed_missing(feeds, name)
if failure then
  return failure
end
if redis.call('HEXISTS', items, id) == 1 then
  return redis.error_reply("JOBEXISTS feed '" .. name .. "' has a job '" .. id
    .. "' already: retract it first, or choose another id")
end
redis.call('LLEN', ids)
redis.call('ZCARD', published)
redis.call('INCR', publishes)
failure = announce({channel, id .. '\0' .. item})
if failure then
  undo_count(publishes, 1)
  return failure
end
redis.call('HSET', items, id, item)
redis.call('ZADD', published, string.format('%.17g', now()), id)
redis.call(push, ids, id)
return id
