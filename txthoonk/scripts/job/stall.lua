-- Stall a claimed job, and remove its count of failures.
--
-- KEYS
--   1 feeds                   set          the registry
--   2 feed.config:[feed]      hash
--   3 feed.revision:[feed]    hash
--   4 feed.history:[feed]     stream
--   5 feed.publishes:[feed]   string
--   6 feed.items:[feed]       hash
--   7 feed.claimed:[feed]     sorted set
--   8 feed.cancelled:[feed]   hash
--   9 feed.stalled:[feed]     set
--   10 feed.published:[feed]  sorted set
--   11 feed.claims:[feed]     hash
--   12 feed.progress:[feed]   hash
--   13 feed.failures:[feed]   hash
--   14 feed.failed:[feed]     sorted set
-- ARGV
--   1 name of the feed
--   2 channel feed.event:[feed]
--   3 channel feed.stalled:[feed]
--   4 id
--   5 token of its claim, empty for any claim
--   6 the reason, as JSON; empty: the record of an earlier failure stays
-- Reply: 1
-- Errors: NOFEED, NOTCONFIGURED, CONFIGNOTHASH, NOTCLAIMED
-- Events: feed.stalled
-- Cost: O(log n)

--- include whole
--- include feed_missing
--- include not_configured
--- include open_feed
--- include open_history
--- include in_milliseconds
--- include not_claimed
--- include claim_of
--- include now
--- include first_write
--- include change
--- include void_history
--- include may_move
--- include announce
--- include remove_field
--- include remove_member
--- include set_field
--- include set_member
--- include end_claim
--- include record_failure
--- include set_stalled
--- include keep_history
local feeds, config, revision, history, publishes, items, claimed = unpack(KEYS, 1, 7)
local cancelled, stalled, published, claims, progress, failures, failed = unpack(KEYS, 8)
local name, event, channel, id, token, why = unpack(ARGV)

local failure, limit = open_feed(feeds, config, name)
failure = failure or not_claimed(name, id, token, claim_of(claimed, claims, id))
if failure then
  return failure
end
local count = whole(redis.call('HGET', cancelled, id))
local log = open_history(limit, event, revision, history, publishes, items)
local events, time = {'stall', channel, id, false}, now()
return change(function(undo)
  first_write(feeds)
  void_history(undo, log)
  may_move(claims, claimed)
  if why ~= '' then
    record_failure(undo, failures, id, count + 1, time, why)
  end
  set_stalled(undo, stalled, failed, cancelled, published, id, time)
  end_claim(undo, claimed, claims, progress, id)
  announce(events, log)
  keep_history(log, events)
  return 1
end)
