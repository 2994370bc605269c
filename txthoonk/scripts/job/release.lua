-- Give claimed jobs back as if they had never been claimed: to the front of the line, without
-- counting a failure.
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
--   9 feed.claims:[feed]      hash
--   10 feed.progress:[feed]   hash
--   11 feed.transit:[feed]    list
-- ARGV
--   1 name of the feed
--   2 channel feed.event:[feed]
--   3 channel feed.retried:[feed]
--   4.. id, token of its claim, id, token, ...; the job to take next comes last
-- Reply: how many were given back; the claims of the others are no longer valid
-- Errors: NOFEED, NOTCONFIGURED, CONFIGNOTHASH
-- Events: feed.retried for each
-- Cost: O(log n) for each

--- include whole
--- include feed_missing
--- include not_configured
--- include open_feed
--- include open_history
--- include in_milliseconds
--- include holds_claim
--- include claim_of
--- include first_write
--- include add_event
--- include change
--- include void_history
--- include push_id
--- include recall
--- include announce
--- include remove_field
--- include remove_member
--- include end_claim
--- include keep_history
local feeds, config, revision, history, publishes, items = unpack(KEYS, 1, 6)
local ids, claimed, claims, progress, transit = unpack(KEYS, 7)
local name, event, channel = unpack(ARGV, 1, 3)

local failure, limit = open_feed(feeds, config, name)
if failure then
  return failure
end
local given, seen, events = {}, {}, {}
for at = 4, #ARGV, 2 do
  local id, token = ARGV[at], ARGV[at + 1]
  if not seen[id] and holds_claim(token, claim_of(claimed, claims, id)) then
    seen[id] = true
    given[#given + 1] = id
    add_event(events, 'retry', channel, id, false)
  end
end
local log = #given > 0 and open_history(limit, event, revision, history, publishes, items)
return change(function(undo)
  first_write(feeds)
  void_history(undo, log)
  if #given > 0 then
    recall(undo, transit, ids)
  end
  for _, id in ipairs(given) do
    end_claim(undo, claimed, claims, progress, id)
    push_id(undo, 'RPUSH', ids, id)
  end
  announce(events, log)
  keep_history(log, events)
  return #given
end)
