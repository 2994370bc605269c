-- Remove a job in any state.
--
-- KEYS
--   1 feeds                    set          the registry
--   2 feed.config:[feed]       hash
--   3 feed.revision:[feed]     hash
--   4 feed.history:[feed]      stream
--   5 feed.publishes:[feed]    string
--   6 feed.items:[feed]        hash
--   7 feed.ids:[feed]          list
--   8 feed.published:[feed]    sorted set
--   9 feed.claimed:[feed]      sorted set
--   10 feed.cancelled:[feed]   hash
--   11 feed.stalled:[feed]     set
--   12 feed.transit:[feed]     list
--   13 feed.delivering:[feed]  sorted set
--   14 feed.claims:[feed]      hash
--   15 feed.failures:[feed]    hash
--   16 feed.progress:[feed]    hash
--   17 feed.delayed:[feed]     sorted set
--   18 feed.later:[feed]       hash
--   19 feed.failed:[feed]      sorted set
--   20 feed.options:[feed]     hash
-- ARGV
--   1 name of the feed
--   2 channel feed.event:[feed]
--   3 id
-- Reply: 1, or 0 if there is no such job
-- Errors: NOFEED, NOTCONFIGURED, CONFIGNOTHASH
-- Events: only in the history
-- Cost: O(log n) for a claimed or stalled job, O(n) for one in line

--- include whole
--- include feed_missing
--- include not_configured
--- include open_feed
--- include open_history
--- include first_write
--- include change
--- include void_history
--- include remove_field
--- include remove_member
--- include announce
--- include keep_history
local feeds, config, revision, history, publishes, items = unpack(KEYS, 1, 6)
local ids, published, claimed, cancelled, stalled, transit, delivering = unpack(KEYS, 7, 13)
local claims, failures, progress, delayed, later, failed, options = unpack(KEYS, 14)
local name, event, id = unpack(ARGV)

local failure, limit = open_feed(feeds, config, name)
if failure then
  return failure
end
local aside = redis.call('HEXISTS', later, id) == 1
if not aside and redis.call('HEXISTS', items, id) == 0 then
  return 0
end
local log = open_history(limit, event, revision, history, publishes, items)
local events = {'retract', false, id, false}

return change(function(undo)
  first_write(feeds)
  void_history(undo, log)
  for _, key in ipairs({items, later, cancelled, claims, failures, progress, options}) do
    remove_field(undo, key, id)
  end
  for _, key in ipairs({delayed, failed, published, delivering}) do
    remove_member(undo, key, id)
  end
  local held = remove_member(undo, claimed, id)
  if redis.call('SREM', stalled, id) == 1 then
    undo[#undo + 1] = function() redis.call('SADD', stalled, id) end
    held = true
  end
  local lined = not held and not aside
  if lined then
    -- If Redis refuses LREM, this fails before the event is published. No id has a NUL.
    redis.call('LREM', transit, 1, '\0')
    redis.call('LLEN', ids)
  end
  if log then
    announce(events, log)
  end
  if lined then
    redis.call('LREM', transit, 1, id)
    redis.call('LREM', ids, 1, id)
  end
  keep_history(log, events)
  return 1
end)
