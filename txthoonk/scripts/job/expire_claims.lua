-- Cancel claims that are older than the feed's timeout, and were already so at an earlier look,
-- half a timeout or 30 seconds before; stall the jobs that have now failed max_failures times.
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
--   12 feed.claims:[feed]     hash
--   13 feed.failures:[feed]   hash
--   14 feed.progress:[feed]   hash
--   15 feed.failed:[feed]     sorted set
--   16 feed.overdue:[feed]    string       the time of the first look
--   17 feed.options:[feed]    hash
-- ARGV
--   1 name of the feed
--   2 channel feed.event:[feed]
--   3 channel feed.cancelled:[feed]
--   4 channel feed.stalled:[feed]
--   5 the most claims
-- Reply: how many were checked, how many of them were cancelled, how many stalled, and how
--   many dropped because they have no item; in how many milliseconds the next look can end
--   claims, nil if no claim is too old
-- Errors: NOFEED, NOTCONFIGURED, CONFIGNOTHASH
-- Events: feed.cancelled or feed.stalled for each
-- Cost: O(log n) for each

--- include whole
--- include feed_missing
--- include not_configured
--- include open_feed
--- include open_history
--- include now
--- include first_write
--- include change
--- include may_move
--- include push_id
--- include announce
--- include up_to
--- include old_claims
--- include note_look
--- include remove_field
--- include remove_member
--- include set_field
--- include set_member
--- include end_claim
--- include record_failure
--- include set_stalled
--- include most_failures
--- include keep_history
local feeds, config, revision, history, publishes, items, ids = unpack(KEYS, 1, 7)
local published, claimed, cancelled, stalled, claims, failures, progress, failed, overdue, options = unpack(KEYS, 8)
local name, event, cancel_channel, stall_channel, most = unpack(ARGV)

local failure, limit, timeout, _, max = open_feed(feeds, config, name, 'timeout', 'max_failures')
if failure then
  return failure
end
timeout = (tonumber(timeout) or 0) * 1000
if not (timeout > 0) then
  return {0, 0, 0, 0, false}
end
local time = now()
redis.call('ZCARD', claimed)
local old, look = old_claims(overdue, claimed, time, timeout, most)
local why = cjson.encode({type = 'Timeout', message = 'the claim was not renewed for '
  .. timeout / 1000 .. ' seconds'})
local log = open_history(limit, event, revision, history, publishes, items)
first_write(feeds)

local cancels, stalls, drops = 0, 0, 0
for _, id in ipairs(old) do
  local count = whole(redis.call('HGET', cancelled, id)) + 1
  local known = redis.call('HEXISTS', items, id) == 1
  local most_ = most_failures(options, id, max)
  local stall = most_ > 0 and count >= most_
  local events = {stall and 'stall' or 'cancel', stall and stall_channel or cancel_channel, id, false}
  failure = change(function(undo)
    may_move(claims, claimed)
    if not known then
      redis.call('HDEL', cancelled, id)
      end_claim(undo, claimed, claims, progress, id)
      drops = drops + 1
      return
    end
    record_failure(undo, failures, id, count, time, why)
    if stall then
      set_stalled(undo, stalled, failed, cancelled, published, id, time)
      stalls = stalls + 1
    else
      set_field(undo, cancelled, id, count)
      push_id(undo, 'LPUSH', ids, id)
      cancels = cancels + 1
    end
    end_claim(undo, claimed, claims, progress, id)
    announce(events, log)
    keep_history(log, events)
  end)
  if failure then
    return failure
  end
end
-- If the look cannot be recorded, the claims are still ended, and a later look records it.
local following = false
pcall(function() following = note_look(overdue, claimed, time, look) end)
return {#old, cancels, stalls, drops, following}
