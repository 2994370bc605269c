-- Put a stalled job back into the line, at its end. It does not expire again.
--
-- KEYS
--   1 feeds                   set          the registry
--   2 feed.config:[feed]      hash
--   3 feed.revision:[feed]    hash
--   4 feed.history:[feed]     stream
--   5 feed.publishes:[feed]   string
--   6 feed.items:[feed]       hash
--   7 feed.ids:[feed]         list
--   8 feed.stalled:[feed]     set
--   9 feed.published:[feed]   sorted set
--   10 feed.failed:[feed]     sorted set
--   11 feed.options:[feed]    hash
-- ARGV
--   1 name of the feed
--   2 channel feed.event:[feed]
--   3 channel feed.retried:[feed]
--   4 id
-- Reply: 1
-- Errors: NOFEED, NOTCONFIGURED, CONFIGNOTHASH, NOTSTALLED
-- Events: feed.retried
-- Cost: O(log n)

--- include whole
--- include feed_missing
--- include not_configured
--- include open_feed
--- include open_history
--- include now
--- include change
--- include void_history
--- include remove_member
--- include set_member
--- include set_field
--- include push_id
--- include announce
--- include keep_history
local feeds, config, revision, history, publishes, items = unpack(KEYS, 1, 6)
local ids, stalled, published, failed, options = unpack(KEYS, 7)
local name, event, channel, id = unpack(ARGV)

local failure, limit = open_feed(feeds, config, name)
if failure then
  return failure
end
if redis.call('SISMEMBER', stalled, id) == 0 then
  return redis.error_reply("NOTSTALLED job '" .. id .. "' of feed '" .. name .. "' is not stalled")
end
local own = string.match(redis.call('HGET', options, id) or '', '^%d+( .*)$')
local log = open_history(limit, event, revision, history, publishes, items)
local events, time = {'retry', channel, id, false}, string.format('%.17g', now())
return change(function(undo)
  redis.call('SREM', stalled, id)
  undo[#undo + 1] = function() redis.call('SADD', stalled, id) end
  redis.call('ZADD', published, 'XX', 0, '\0')  -- adds nothing: no id has a NUL
  void_history(undo, log)
  if own then
    set_field(undo, options, id, '0' .. own)
  end
  remove_member(undo, failed, id)
  push_id(undo, 'LPUSH', ids, id)
  set_member(undo, published, id, time)
  announce(events, log)
  keep_history(log, events)
  return 1
end)
