-- Claim jobs.
--
-- KEYS
--   1 feeds                    set          the registry
--   2 feed.config:[feed]       hash
--   3 feed.revision:[feed]     hash
--   4 feed.history:[feed]      stream
--   5 feed.publishes:[feed]    string
--   6 feed.items:[feed]        hash
--   7 feed.ids:[feed]          list
--   8 feed.transit:[feed]      list
--   9 feed.delivering:[feed]   sorted set
--   10 feed.claimed:[feed]     sorted set
--   11 feed.cancelled:[feed]   hash
-- ARGV
--   1 name of the feed
--   2 channel feed.event:[feed]
--   3 channel feed.claimed:[feed]
--   4 how many jobs at the most
--   5 the id that BLMOVE has brought to feed.transit, empty if there is none: it comes
--     first, and counts
-- Reply: the time of the claim in milliseconds, then for each job its id, item, and how
--   often it was cancelled
-- Errors: NOFEED
-- Events: feed.claimed for each job
-- Cost: O(log n) for each job

--- include feed_missing
--- include open_feed
--- include open_history
--- include now
--- include front_of
--- include arrived
--- include first_write
--- include announce
--- include keep_history
local feeds, config, revision, history, publishes, items = unpack(KEYS, 1, 6)
local ids, transit, delivering, claimed, cancelled = unpack(KEYS, 7)
local name, event, channel, count, moved = unpack(ARGV)
count = tonumber(count)

local failure, limit = open_feed(feeds, config, name)
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
  events[#events + 1] = 'claim'
  events[#events + 1] = channel
  events[#events + 1] = id
  events[#events + 1] = false
end
local log = #found > 0 and open_history(limit, event, revision, history, publishes, items)

first_write(feeds)
failure = announce(events, log)
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
keep_history(log, events)
return reply
