-- Take items out of the line, for delivery.
--
-- KEYS
--   1 feeds                    set          the registry
--   2 feed.ids:[feed]          list
--   3 feed.items:[feed]        hash
--   4 feed.transit:[feed]      list
--   5 feed.delivering:[feed]   sorted set
--   6 feed.config:[feed]       hash
-- ARGV
--   1 name of the feed
--   2 the most items
--   3.. the id that BLMOVE has moved to feed.transit, empty if there is none: it comes
--     first, and counts; then 1 if BRPOP has taken it instead
-- Reply: the time of the get in milliseconds; 1 if the feed is paused, else its
--   serializer, 0 for text; id, item, id, item, ...
-- Errors: NOFEED, NOTCONFIGURED, CONFIGNOTHASH, WRONGFEEDTYPE
-- Events: none
-- Cost: O(log n) for each item

--- include feed_missing
--- include not_configured
--- include open_feed
--- include wrong_type
--- include now
--- include front_of
--- include arrived
local feeds, ids, items, transit, delivering, config = unpack(KEYS)
local name, count, moved = ARGV[1], tonumber(ARGV[2]), ARGV[3]

local failure, _, paused, kind, serializer = open_feed(feeds, config, name, 'paused', 'serializer')
failure = failure or wrong_type(name, kind, 'queue', config)
if failure then
  return failure
end
local time = string.format('%.17g', now())
if paused and paused ~= '0' then
  return {time, 1}
end
local reply, held = {time, serializer or 0}, {}
local item = moved ~= '' and arrived(items, transit, delivering, moved, ARGV[4])
local found, contents, line = front_of(ids, items, delivering, count, moved, item)
for index, id in ipairs(found) do
  local last = 2 * index
  reply[last + 1], reply[last + 2] = id, contents[index]
  held[last - 1], held[last] = time, id
end

-- LTRIM comes first: when memory is full, Redis allows it, and then the rest.
if #line > 0 then
  redis.call('LTRIM', ids, 0, -#line - 1)
end
local removed = moved ~= '' and redis.pcall('LREM', transit, 1, moved) or 0
local added = type(removed) == 'table' and removed
  or #found > 0 and redis.pcall('ZADD', delivering, unpack(held))
if type(added) ~= 'table' then
  return reply
end
-- Restore the line, so that other consumers can take the items.
if #line > 0 then
  redis.pcall('RPUSH', ids, unpack(line))
end
if type(removed) == 'number' and removed > 0 then
  redis.pcall('LPUSH', transit, moved)
end
return added
