-- Put a new job that is delayed until it is due. Until then, only txthoonk sees it.
--
-- KEYS
--   1 feeds                   set          the registry
--   2 feed.config:[feed]      hash
--   3 feed.items:[feed]       hash
--   4 feed.delayed:[feed]     sorted set
--   5 feed.later:[feed]       hash
--   6 feed.options:[feed]     hash
-- ARGV
--   1 name of the feed
--   2 channel feed.delayed:[feed]
--   3 the serializer of the item: see put
--   4 LPUSH or RPUSH: see put
--   5 id
--   6 item
--   7 when it is due, in milliseconds from now or since 1970
--   8 1 if that is since 1970, else 0
--   9 its options: see put
-- Reply: in how many milliseconds it is due; 0 or less if it is already due
-- Errors: NOFEED, NOTCONFIGURED, CONFIGNOTHASH, JOBEXISTS, WRONGFEEDTYPE, OTHERSERIALIZER
-- Events: feed.delayed, if it is due before all other delayed jobs
-- Cost: O(log n)

--- include feed_missing
--- include not_configured
--- include open_feed
--- include other_serializer
--- include wrong_type
--- include jobs_exist
--- include now
--- include change
--- include set_field
--- include set_member
--- include tell_due
--- include delay
--- include write_options
local feeds, config, items, delayed, later, options = unpack(KEYS)
local name, channel, used, push, id, item, due, absolute, given = unpack(ARGV)

local failure, _, serializer, kind = open_feed(feeds, config, name, 'serializer')
failure = failure or wrong_type(name, kind, 'job', config)
  or other_serializer(name, serializer, used)
if failure then
  return failure
end
local _, taken, others = jobs_exist(items, delayed, options, name, {id})
if taken then
  return taken
end
local time = now()
due = absolute == '1' and tonumber(due) or time + due
return change(function(undo)
  local first = delay(undo, delayed, later, id, item, due, push)
  if given ~= '' or others and redis.call('EXISTS', options) == 1 then
    write_options(undo, options, given, {id}, time)
  end
  if first then
    tell_due(channel, id, due, time)
  end
  return string.format('%.0f', due - time)
end)
