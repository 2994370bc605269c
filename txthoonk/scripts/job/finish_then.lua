-- Finish a claimed job, and put new jobs into the same and other feeds: all of it or nothing.
--
-- KEYS
--   1 feeds                            set          the registry
--   2 feed.config:[feed]               hash
--   3 feed.revision:[feed]             hash
--   4 feed.history:[feed]              stream
--   5 feed.publishes:[feed]            string
--   6 feed.items:[feed]                hash
--   7 feed.claimed:[feed]              sorted set
--   8 feed.cancelled:[feed]            hash
--   9 feed.published:[feed]            sorted set
--   10 feed.finishes:[feed]            string
--   11 feed.results:[feed]             sorted set
--   12 feed.claims:[feed]              hash
--   13 feed.failures:[feed]            hash
--   14 feed.progress:[feed]            hash
--   15 feed.options:[feed]             hash
--   16 feed.jobfinished:[feed]\0[id]   list
--   17 feed.config:[other]             hash         of a feed that jobs are put into
--   18 feed.revision:[other]           hash
--   19 feed.history:[other]            stream
--   20 feed.publishes:[other]          string
--   21 feed.items:[other]              hash
--   22 feed.ids:[other]                list
--   23 feed.published:[other]          sorted set
--   24 feed.delayed:[other]            sorted set
--   25 feed.later:[other]              hash
--   26 feed.transit:[other]           list
--   27.. feed.options:[other]          hash         and then all eleven of the next feed
-- ARGV
--   1 name of the feed
--   2 channel feed.event:[feed]
--   3 channel job.finish:[feed]
--   4 channel feed.finishes:[feed]
--   5 channel feed.ended:[feed]\0
--   6 the most ids of old results to reply
--   7.. the job to finish, in six words: see finish; for each other feed its name, its channels
--     feed.event, feed.publishes and feed.delayed, and how many jobs are put; and for each of
--     these LPUSH or RPUSH, its id, its item, when it is due and 1 if that is since 1970, else 0
--     (see put_later; empty for at once), its options, and the serializer of its item (see put)
-- Reply: an array of ids of results in excess of keep_results, for forget
-- Errors: NOFEED, NOTCONFIGURED, CONFIGNOTHASH, NOTCLAIMED, WRONGFEEDTYPE, OTHERSERIALIZER, JOBEXISTS
-- Events: job.finish if there is a result, feed.finishes; then for each new job
--   feed.publishes, or feed.delayed if it is due before all other delayed jobs; in the end
--   feed.ended, with the result if there is one, if the result is wanted
-- Cost: O(log n) for each job

--- include whole
--- include feed_missing
--- include not_configured
--- include open_feed
--- include other_serializer
--- include wrong_type
--- include open_history
--- include in_milliseconds
--- include not_claimed
--- include claim_of
--- include now
--- include add_event
--- include undo_count
--- include change
--- include void_history
--- include end_jobs
--- include forgettable
--- include announce
--- include keep_history
--- include finishing
--- include old_results
--- include keep_results
--- include jobs_exist
--- include set_field
--- include set_member
--- include remove_field
--- include remove_member
--- include push_id
--- include tell_due
--- include delay
--- include write_options
--- include new_jobs
--- include recall
--- include put_new
--- include open_new
--- include announce_new
--- include keep_new
local feeds, config, revision, history, publishes, items, claimed, cancelled = unpack(KEYS, 1, 8)
local published, finishes, results, claims, failures, progress, options, kept = unpack(KEYS, 9, 16)
local name, event, finish, finished, ended, forget, id = unpack(ARGV, 1, 7)

local failure, limit, most, kind, age, serializer = open_feed(feeds, config, name, 'keep_results',
  'keep_results_for', 'serializer')
failure = failure or wrong_type(name, kind, 'job', config)
  or not_claimed(name, id, ARGV[8], claim_of(claimed, claims, id))
if failure then
  return failure
end
most = whole(most)
local time, events = now(), {}
local done, statuses, stored, scores, entries = finishing(name, items, claimed, claims, results, {kept},
  {unpack(ARGV, 7, 12)}, finish, finished, serializer, events)
local found, refused = new_jobs(feeds, 17, 13, name, id)
if refused or statuses[1] ~= 1 then
  return refused or {err = statuses[1]}
end
redis.call('GET', finishes)
local log = open_history(limit, event, revision, history, publishes, items)
open_new(found, name, log, events)

return change(function(undo)
  -- When memory is full, Redis refuses this, before anything has changed. No id has a NUL.
  for _, feed in ipairs(found) do
    redis.call('ZADD', feed.delayed, 'XX', 0, '\0')
  end
  void_history(undo, log)
  end_jobs(undo, claimed, claims, items, stored, done, scores, entries)
  forgettable(undo, results, time, stored)
  local old = {}
  if keep_results(results, time, stored, most, tonumber(age or nil)) > 0 and most > 0 then
    old = old_results(results, items, most, tonumber(forget))
  end
  redis.call('INCRBY', finishes, 1)
  undo[#undo + 1] = function() undo_count(finishes, 1) end
  for _, key in ipairs({cancelled, failures, progress, options}) do
    remove_field(undo, key, id)
  end
  remove_member(undo, published, id)
  for _, feed in ipairs(found) do
    put_new(undo, feed, time)
  end
  announce(events, log)
  announce_new(found, time)
  keep_history(log, events)
  keep_new(found)
  for _, one in ipairs(stored) do
    if one.wanted then
      -- If Redis refuses this, the waiter reads the kept result.
      redis.pcall('PUBLISH', ended .. one.id, one.result and one.id .. '\0' .. one.result or one.id)
    end
  end
  return old
end)
