-- Move the delayed jobs that are due into the line.
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
--   11 feed.delayed:[feed]    sorted set
--   12 feed.later:[feed]      hash
--   13 feed.transit:[feed]    list
-- ARGV
--   1 name of the feed
--   2 channel feed.event:[feed]
--   3 channel feed.publishes:[feed]
--   4 channel feed.retried:[feed]
--   5 the most jobs
-- Reply: how many were due; in how many milliseconds the next one is due, nil if there is
--   none; the feed's timeout in milliseconds, 0 if there is none; the age of the oldest claim
--   in milliseconds, nil if there is none
-- Errors: NOFEED, NOTCONFIGURED, CONFIGNOTHASH
-- Events: feed.publishes for each new job, feed.retried for each one that has failed before
-- Cost: O(log n) for each

--- include whole
--- include feed_missing
--- include not_configured
--- include in_milliseconds
--- include open_feed
--- include open_history
--- include now
--- include first_write
--- include undo_count
--- include add_event
--- include change
--- include may_move
--- include set_field
--- include set_member
--- include remove_field
--- include remove_member
--- include push_id
--- include recall
--- include announce
--- include keep_history
local feeds, config, revision, history, publishes, items, ids = unpack(KEYS, 1, 7)
local published, claimed, cancelled, delayed, later, transit = unpack(KEYS, 8)
local name, event, put_channel, retry_channel, most = unpack(ARGV)

-- A score may be infinite, or too large to be a whole number for the caller.
local function milliseconds(count)
  return string.format('%.0f', math.max(-1e12, math.min(count, 1e12)))
end

local failure, limit, timeout = open_feed(feeds, config, name, 'timeout')
if failure then
  return failure
end
local time = now()
local due = redis.call('ZRANGEBYSCORE', delayed, '-inf', string.format('%.17g', time), 'LIMIT', 0, most)
local oldest = redis.call('ZRANGE', claimed, 0, 0, 'WITHSCORES')[2]
local contents = #due > 0 and redis.call('HMGET', later, unpack(due))
local failed = #due > 0 and redis.call('HMGET', cancelled, unpack(due))
local log = #due > 0 and open_history(limit, event, revision, history, publishes, items)
local events, new = {}, 0
for index, id in ipairs(due) do
  if contents[index] and failed[index] then
    add_event(events, 'retry', retry_channel, id, false)
  elseif contents[index] then
    add_event(events, 'put', put_channel, id, string.sub(contents[index], 2))
    new = new + 1
  end
end
failure = #due > 0 and change(function(undo)
  first_write(feeds)
  may_move(later, delayed)
  if new > 0 then
    redis.call('INCRBY', publishes, new)
    undo[1] = function() undo_count(publishes, new) end
  end
  for index, id in ipairs(due) do
    if contents[index] then
      set_field(undo, items, id, string.sub(contents[index], 2))
      set_member(undo, published, id, string.format('%.17g', time))
      if string.sub(contents[index], 1, 1) == 'R' then
        recall(undo, transit, ids)
        push_id(undo, 'RPUSH', ids, id)
      else
        push_id(undo, 'LPUSH', ids, id)
      end
    end
    remove_member(undo, delayed, id)
    remove_field(undo, later, id)
  end
  announce(events, log)
  keep_history(log, events)
end)
if failure then
  return failure
end
local following = redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2]
local seconds = tonumber(timeout or nil) or 0
local limit_ = seconds > 0 and seconds <= 1e9 and seconds * 1000 or 0
return {#due, following and milliseconds(following - time) or false, string.format('%.0f', limit_),
  oldest and milliseconds(time - in_milliseconds(oldest)) or false}
