-- Give a claimed job back: it goes to the end of the line, and its failures increase by one.
--
-- KEYS
--   1 feeds                   set          the registry
--   2 feed.config:[feed]      hash
--   3 feed.revision:[feed]    hash
--   4 feed.history:[feed]     stream
--   5 feed.publishes:[feed]   string
--   6 feed.items:[feed]       hash
--   7 feed.ids:[feed]         list
--   8 feed.claimed:[feed]     sorted set
--   9 feed.cancelled:[feed]   hash
--   10 feed.claims:[feed]     hash
--   11 feed.progress:[feed]   hash
-- ARGV
--   1 name of the feed
--   2 channel feed.event:[feed]
--   3 channel feed.cancelled:[feed]
--   4 id
--   5 token of its claim, empty for any claim
-- Reply: 1
-- Errors: NOFEED, NOTCONFIGURED, CONFIGNOTHASH, NOTCLAIMED
-- Events: feed.cancelled
-- Cost: O(log n)

--- include whole
--- include feed_missing
--- include not_configured
--- include open_feed
--- include open_history
--- include in_milliseconds
--- include not_claimed
--- include claim_of
--- include first_write
--- include change
--- include void_history
--- include may_move
--- include push_id
--- include announce
--- include remove_field
--- include remove_member
--- include end_claim
--- include keep_history
local feeds, config, revision, history, publishes, items, ids = unpack(KEYS, 1, 7)
local claimed, cancelled, claims, progress = unpack(KEYS, 8)
local name, event, channel, id, token = unpack(ARGV)

local failure, limit = open_feed(feeds, config, name)
failure = failure or not_claimed(name, id, token, claim_of(claimed, claims, id))
if failure then
  return failure
end
local log = open_history(limit, event, revision, history, publishes, items)
local events = {'cancel', channel, id, false}
return change(function(undo)
  first_write(feeds)
  void_history(undo, log)
  may_move(claims, claimed)
  redis.call('HINCRBY', cancelled, id, 1)
  undo[#undo + 1] = function()
    if redis.call('HINCRBY', cancelled, id, -1) == 0 then
      redis.call('HDEL', cancelled, id)
    end
  end
  end_claim(undo, claimed, claims, progress, id)
  push_id(undo, 'LPUSH', ids, id)
  announce(events, log)
  keep_history(log, events)
  return 1
end)
