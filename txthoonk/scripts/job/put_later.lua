-- Put a new job that is delayed until it is due. Until then, only txthoonk sees it.
--
-- KEYS
--   1 feeds                   set          the registry
--   2 feed.config:[feed]      hash
--   3 feed.items:[feed]       hash
--   4 feed.delayed:[feed]     sorted set
--   5 feed.later:[feed]       hash
-- ARGV
--   1 name of the feed
--   2 channel feed.delayed:[feed]
--   3 LPUSH or RPUSH: see put
--   4 id
--   5 item
--   6 when it is due, in milliseconds from now or since 1970
--   7 1 if that is since 1970, else 0
-- Reply: in how many milliseconds it is due; 0 or less if it is already due
-- Errors: NOFEED, NOTCONFIGURED, JOBEXISTS, WRONGFEEDTYPE
-- Events: feed.delayed, if it is due before all other delayed jobs
-- Cost: O(log n)

--- include feed_missing
--- include not_configured
--- include open_feed
--- include wrong_type
--- include jobs_exist
--- include now
--- include change
--- include set_field
--- include set_member
--- include tell_due
--- include delay
local feeds, config, items, delayed, later = unpack(KEYS)
local name, channel, push, id, item, due, absolute = unpack(ARGV)

local failure, _, _, kind = open_feed(feeds, config, name)
failure = failure or wrong_type(name, kind, 'job', config) or select(2, jobs_exist(items, delayed, name, {id}))
if failure then
  return failure
end
local time = now()
due = absolute == '1' and tonumber(due) or time + due
return change(function(undo)
  if delay(undo, delayed, later, id, item, due, push) then
    tell_due(channel, id, due, time)
  end
  return string.format('%.0f', due - time)
end)
