-- Claim jobs.
--
-- KEYS
--   1 feeds                    set          the registry
--   2 feed.ids:[feed]          list
--   3 feed.items:[feed]        hash
--   4 feed.transit:[feed]      list
--   5 feed.delivering:[feed]   sorted set
--   6 feed.claimed:[feed]      sorted set
--   7 feed.cancelled:[feed]    hash
-- ARGV
--   1 name of the feed
--   2 channel feed.claimed:[feed]
--   3 how many jobs at the most
--   4 the id that BLMOVE has brought to feed.transit, empty if there is none: it comes
--     first, and counts
-- Reply: the time of the claim in milliseconds, then for each job its id, item, and how
--   often it was cancelled
-- Errors: NOFEED
-- Events: feed.claimed for each job
-- Cost: O(log n) for each job

--- include feed_missing
--- include now
--- include front_of
--- include arrived
--- include first_write
--- include announce
local feeds, ids, items, transit, delivering, claimed, cancelled = unpack(KEYS)
local name, channel, count, moved = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]

local failure = feed_missing(feeds, name)
if failure then
  return failure
end
local time = string.format('%.17g', now())
local item = moved ~= ''
  and not redis.call('ZSCORE', claimed, moved)
  and arrived(items, transit, delivering, moved)
local found, contents, looked = front_of(ids, items, claimed, count, moved, item)
local times = #found > 0 and redis.call('HMGET', cancelled, unpack(found))
local reply, claims, events = {time}, {}, {}
for index, id in ipairs(found) do
  reply[#reply + 1] = id
  reply[#reply + 1] = contents[index]
  reply[#reply + 1] = tonumber(times[index]) or 0
  claims[#claims + 1] = time
  claims[#claims + 1] = id
  events[#events + 1] = channel
  events[#events + 1] = id
end

first_write(feeds)
failure = announce(events)
if failure then
  return failure
end
if looked > 0 then
  redis.call('LTRIM', ids, 0, -looked - 1)
end
if moved ~= '' then
  redis.call('LREM', transit, 1, moved)
  redis.call('ZREM', delivering, moved)
end
if #found > 0 then
  redis.call('ZADD', claimed, unpack(claims))
end
return reply
