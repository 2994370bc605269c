-- End the import of a job feed of thoonk.js 0.6 to 1.0: count its jobs, and open the line.
--
-- KEYS
--   1 feeds                    set          the registry
--   2 feed.config:[feed]       hash
--   3 feed.publishes:[feed]    string
--   4 feed.finishes:[feed]     string
--   5 jobs                     set          the registry of thoonk.js
--   6 job.items:[source]       hash
--   7 job.config:[source]      hash
--   8 job.ids:[source]         list
--   9 job.publishes:[source]   string
--   10 job.published:[source]  sorted set
--   11 job.claimed:[source]    sorted set
--   12 job.cancelled:[source]  hash
--   13 job.stalled:[source]    set
--   14 job.finishes:[source]   string
-- ARGV
--   1 name of the feed
--   2 channel conffeed
--   3 [instance] uuid of the caller
--   4 [source]
--   5 [mark]: see take_jobs
--   6 1 to remove the source, if no job has been put there meanwhile; 0 to leave it
-- Reply: the number of jobs in the source; nothing if no import of it into the feed is under way
-- Errors: none
-- Events: conffeed
-- Cost: O(1)

--- include whole
--- include first_write
--- include undo_count
--- include remove_field
--- include change
local feeds, config, publishes, finishes, jobs, their_items = unpack(KEYS)
local their_publishes, their_finishes = KEYS[9], KEYS[14]
local name, conffeed, instance, source, mark, removes = unpack(ARGV)

if redis.call('HGET', config, mark) ~= source then
  return {}
end
local put, finished = redis.call('GET', their_publishes), redis.call('GET', their_finishes)
redis.call('GET', publishes)
redis.call('GET', finishes)
local left = redis.call('HLEN', their_items)
first_write(feeds)
if removes == '1' and left > 0 then
  return {left}
end

return change(function(undo)
  local function count(counter, by)
    redis.call('INCRBY', counter, string.format('%.0f', by))
    undo[#undo + 1] = function() undo_count(counter, string.format('%.0f', by)) end
  end
  count(publishes, whole(put))
  count(finishes, whole(finished))
  remove_field(undo, config, mark)
  remove_field(undo, config, 'paused')
  if removes == '1' then
    redis.call('UNLINK', their_items) -- there are none: if Redis refuses it, nothing is gone yet
    redis.call('SREM', jobs, source)
    undo[#undo + 1] = function() redis.call('SADD', jobs, source) end
  end
  redis.call('PUBLISH', conffeed, name .. '\0' .. instance)
  if removes == '1' then
    redis.call('UNLINK', unpack(KEYS, 7, 14))
  end
  return {left}
end)
