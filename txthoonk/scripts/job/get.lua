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
--   12 feed.claims:[feed]      hash
--   13 feed.options:[feed]     hash
-- ARGV
--   1 name of the feed
--   2 channel feed.event:[feed]
--   3 channel feed.claimed:[feed]
--   4 [owner] of the claims; their token is [owner]:[time of the claim]
--   5 the most jobs
--   6.. the id that BLMOVE has moved to feed.transit, empty if there is none: it comes
--     first, and counts; then 1 if BRPOP has taken it instead
-- Reply: the time of the claim in milliseconds; 1 if the feed is paused, else its
--   serializer, 0 for text; then for each job its id, item, and how often it was cancelled; for a job with options that is a
--     text: how often it was cancelled, 1 if it has expired, else 0, and its feed.options
-- Errors: NOFEED, NOTCONFIGURED, CONFIGNOTHASH, WRONGFEEDTYPE
-- Events: feed.claimed for each job
-- Cost: O(log n) for each job

--- include whole
--- include feed_missing
--- include not_configured
--- include open_feed
--- include wrong_type
--- include open_history
--- include now
--- include front_of
--- include add_event
--- include to_claim
--- include filled
--- include write_claims
--- include unclaim
--- include arrived
--- include first_write
--- include change
--- include announce
--- include keep_history
local feeds, config, revision, history, publishes, items = unpack(KEYS, 1, 6)
local ids, transit, delivering, claimed, cancelled, claims, options = unpack(KEYS, 7)
local name, event, channel, owner, count, moved, popped = unpack(ARGV, 1, 7)

local failure, limit, paused, kind, serializer = open_feed(feeds, config, name, 'paused', 'serializer')
failure = failure or wrong_type(name, kind, 'job', config)
if failure then
  return failure
end
local time = string.format('%.17g', now())
if paused and paused ~= '0' then
  return {time, 1}
end
local item = moved ~= ''
  and not redis.call('ZSCORE', claimed, moved)
  and arrived(items, transit, delivering, moved, popped)
local events = {}
local taken = to_claim(ids, items, claimed, cancelled, options, filled(cancelled, options), tonumber(count),
  owner, time, channel, events, moved, item)
local log = #events > 0 and open_history(limit, event, revision, history, publishes, items)

local removed = 0
return change(function()
  if moved ~= '' then
    removed = redis.call('LREM', transit, 1, moved)
    removed = removed + redis.call('ZREM', delivering, moved)
  elseif #taken.line == 0 then
    first_write(feeds)
  end
  write_claims(ids, claimed, claims, taken)
  announce(events, log)
  keep_history(log, events)
  return {time, serializer or 0, unpack(taken.reply)}
end, function()
  return {
    removed > 0 and function() redis.call('LPUSH', transit, moved) end,
    function() unclaim(ids, claimed, claims, taken) end}
end)
