-- Give a claimed job back because it failed: it is available again, at once or after a
-- delay, or stalled if it has now failed max_failures times.
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
--   15 feed.delayed:[feed]    sorted set
--   16 feed.later:[feed]      hash
--   17 feed.failed:[feed]     sorted set
--   18 feed.options:[feed]    hash
-- ARGV
--   1 name of the feed
--   2 channel feed.event:[feed]
--   3 channel feed.cancelled:[feed]
--   4 channel feed.stalled:[feed]
--   5 channel feed.delayed:[feed]
--   6 id
--   7 token of its claim, empty for any claim
--   8 the error, as JSON
--   9 the delay in milliseconds
-- Reply: stalled, delayed or available, and how often the job has failed
-- Errors: NOFEED, NOTCONFIGURED, CONFIGNOTHASH, NOTCLAIMED
-- Events: feed.delayed if it is due before all other delayed jobs; feed.stalled or feed.cancelled
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
--- include change
--- include may_move
--- include remove_field
--- include remove_member
--- include set_field
--- include set_member
--- include push_id
--- include tell_due
--- include delay
--- include first_write
--- include announce
--- include end_claim
--- include record_failure
--- include set_stalled
--- include most_failures
--- include keep_history
local feeds, config, revision, history, publishes, items, ids, published = unpack(KEYS, 1, 8)
local claimed, cancelled, stalled, claims, failures, progress, delayed, later, failed, options = unpack(KEYS, 9)
local name, event, cancel_channel, stall_channel, due_channel, id, token, why, wait = unpack(ARGV)

local failure, limit, max = open_feed(feeds, config, name, 'max_failures')
failure = failure or not_claimed(name, id, token, claim_of(claimed, claims, id))
if failure then
  return failure
end
local time, item = now(), redis.call('HGET', items, id)
local count, due = whole(redis.call('HGET', cancelled, id)) + 1, time + wait
max = most_failures(options, id, max)
local state = max > 0 and count >= max and 'stalled' or item and tonumber(wait) > 0 and 'delayed'
  or 'available'
local log = open_history(limit, event, revision, history, publishes, items)
local events = {'cancel', cancel_channel, id, false}
if state == 'stalled' then
  events = {'stall', stall_channel, id, false}
end
return change(function(undo)
  first_write(feeds)
  may_move(claims, claimed)
  record_failure(undo, failures, id, count, time, why)
  local first = false
  if state == 'stalled' then
    set_stalled(undo, stalled, failed, cancelled, published, id, time)
  else
    set_field(undo, cancelled, id, count)
    if state == 'delayed' then
      first = delay(undo, delayed, later, id, item, due, 'LPUSH')
      remove_field(undo, items, id)
      remove_member(undo, published, id)
    else
      push_id(undo, 'LPUSH', ids, id)
    end
  end
  end_claim(undo, claimed, claims, progress, id)
  if first then
    tell_due(due_channel, id, due, time)
  end
  announce(events, log)
  keep_history(log, events)
  return {state, count}
end)
