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
--   2 how many items at the most
--   3 the id that BLMOVE has brought to feed.transit, empty if there is none: it comes
--     first, and counts
-- Reply: the time of the taking in milliseconds; 1 if the feed is paused, else 0; id, item,
--   id, item, ...
-- Errors: NOFEED, NOTCONFIGURED, WRONGFEEDTYPE
-- Events: none
-- Cost: O(log n) for each item

--- include feed_missing
--- include not_configured
--- include open_feed
--- include wrong_type
--- include now
--- include change
--- include trim_line
--- include front_of
--- include arrived
local feeds, ids, items, transit, delivering, config = unpack(KEYS)
local name, count, moved = ARGV[1], tonumber(ARGV[2]), ARGV[3]

local failure, _, paused, kind = open_feed(feeds, config, name, 'paused')
failure = failure or wrong_type(name, kind, 'queue', config)
if failure then
  return failure
end
local time = string.format('%.17g', now())
if paused and paused ~= '0' then
  return {time, 1}
end
local reply, held = {time, 0}, {}
local item = moved ~= '' and arrived(items, transit, delivering, moved)
local found, contents, line = front_of(ids, items, delivering, count, moved, item)
for index, id in ipairs(found) do
  reply[#reply + 1] = id
  reply[#reply + 1] = contents[index]
  held[#held + 1] = time
  held[#held + 1] = id
end

return change(function(undo)
  -- Shortening comes first: a full memory does not refuse it, nor then the rest.
  if #line > 0 then
    trim_line(undo, ids, line)
  end
  if moved ~= '' and redis.call('LREM', transit, 1, moved) > 0 then
    undo[#undo + 1] = function() redis.call('LPUSH', transit, moved) end
  end
  if #found > 0 then
    redis.call('ZADD', delivering, unpack(held))
  end
  return reply
end)
