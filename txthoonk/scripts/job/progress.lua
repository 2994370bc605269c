-- Store and publish the progress of a claimed job.
--
-- KEYS
--   1 feeds                   set          the registry
--   2 feed.config:[feed]      hash
--   3 feed.revision:[feed]    hash
--   4 feed.history:[feed]     stream
--   5 feed.publishes:[feed]   string
--   6 feed.items:[feed]       hash
--   7 feed.claimed:[feed]     sorted set
--   8 feed.claims:[feed]      hash
--   9 feed.progress:[feed]    hash
-- ARGV
--   1 name of the feed
--   2 channel feed.event:[feed]
--   3 channel feed.progress:[feed]
--   4 id
--   5 token of its claim, empty for any claim
--   6 the progress, as JSON
-- Reply: 1
-- Errors: NOFEED, NOTCONFIGURED, CONFIGNOTHASH, NOTCLAIMED
-- Events: feed.progress
-- Cost: O(log n)

--- include whole
--- include feed_missing
--- include not_configured
--- include open_feed
--- include open_history
--- include in_milliseconds
--- include not_claimed
--- include claim_of
--- include change
--- include set_field
--- include announce
--- include keep_history
local feeds, config, revision, history, publishes, items = unpack(KEYS, 1, 6)
local claimed, claims, progress = unpack(KEYS, 7)
local name, event, channel, id, token, far = unpack(ARGV)

local failure, limit = open_feed(feeds, config, name)
failure = failure or not_claimed(name, id, token, claim_of(claimed, claims, id))
if failure then
  return failure
end
local log = open_history(limit, event, revision, history, publishes, items)
local events = {'progress', channel, id, far}
return change(function(undo)
  set_field(undo, progress, id, far)
  announce(events, log)
  keep_history(log, events)
  return 1
end)
