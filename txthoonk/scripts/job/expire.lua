-- Stall the jobs at the front of the line that have expired.
--
-- KEYS
--   1 feeds                   set          the registry
--   2 feed.config:[feed]      hash
--   3 feed.revision:[feed]    hash
--   4 feed.history:[feed]     stream
--   5 feed.publishes:[feed]   string
--   6 feed.items:[feed]       hash
--   7 feed.ids:[feed]         list
--   8 feed.published:[feed]   sorted set
--   9 feed.claimed:[feed]     sorted set
--   10 feed.cancelled:[feed]  hash
--   11 feed.stalled:[feed]    set
--   12 feed.failures:[feed]   hash
--   13 feed.failed:[feed]     sorted set
--   14 feed.options:[feed]    hash
-- ARGV
--   1 name of the feed
--   2 channel feed.event:[feed]
--   3 channel feed.stalled:[feed]
--   4 the failure to record, as JSON
--   5 the most jobs to check
-- Reply: how many were stalled
-- Errors: NOFEED, NOTCONFIGURED, CONFIGNOTHASH
-- Events: feed.stalled for each
-- Cost: O(m log n) to check m jobs

--- include whole
--- include feed_missing
--- include not_configured
--- include open_feed
--- include open_history
--- include now
--- include first_write
--- include change
--- include void_history
--- include announce
--- include remove_field
--- include remove_member
--- include set_field
--- include set_member
--- include record_failure
--- include set_stalled
--- include keep_history
local feeds, config, revision, history, publishes, items, ids = unpack(KEYS, 1, 7)
local published, claimed, cancelled, stalled, failures, failed, options = unpack(KEYS, 8)
local name, event, channel, why, most = unpack(ARGV)

local failure, limit = open_feed(feeds, config, name)
if failure then
  return failure
end
local some = redis.call('HLEN', options) > 0 and redis.call('LRANGE', ids, -most, -1) or {}
if #some == 0 then
  return 0
end
local time, count = now(), 0
local own, there = redis.call('HMGET', options, unpack(some)), redis.call('HMGET', items, unpack(some))
local held = redis.call('ZMSCORE', claimed, unpack(some))
for index = #some, 1, -1 do
  local id = some[index]
  local expires = tonumber(string.match(own[index] or '', '^%d+') or nil) or 0
  if expires > 0 and time >= expires and there[index] and not held[index] then
    local failures_ = whole(redis.call('HGET', cancelled, id)) + 1
    local log = open_history(limit, event, revision, history, publishes, items)
    local events = {'stall', channel, id, false}
    failure = change(function(undo)
      first_write(feeds)
      -- If Redis refuses LREM, this fails before the event is published. No id has a NUL.
      redis.call('LREM', ids, 1, '\0')
      void_history(undo, log)
      record_failure(undo, failures, id, failures_, time, why)
      set_stalled(undo, stalled, failed, cancelled, published, id, time)
      announce(events, log)
      redis.call('LREM', ids, -1, id)
      keep_history(log, events)
    end)
    if failure then
      return failure
    end
    count = count + 1
  end
end
return count
