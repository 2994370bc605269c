-- Finish claimed jobs, which deletes them. Publish their results, and keep them for a time if
-- requested. Then claim the next jobs.
--
-- KEYS
--   1 feeds                             set          the registry
--   2 feed.config:[feed]                hash
--   3 feed.revision:[feed]              hash
--   4 feed.history:[feed]               stream
--   5 feed.publishes:[feed]             string
--   6 feed.items:[feed]                 hash
--   7 feed.ids:[feed]                   list
--   8 feed.claimed:[feed]               sorted set
--   9 feed.cancelled:[feed]             hash
--   10 feed.published:[feed]            sorted set
--   11 feed.finishes:[feed]             string
--   12 feed.results:[feed]              sorted set
--   13 feed.claims:[feed]               hash
--   14 feed.failures:[feed]             hash
--   15 feed.progress:[feed]             hash
--   16 feed.options:[feed]              hash
--   17.. feed.jobfinished:[feed]\0[id]  list         one for each job to finish
-- ARGV
--   1 name of the feed
--   2 channel feed.event:[feed]
--   3 channel job.finish:[feed]
--   4 channel feed.finishes:[feed]
--   5 channel feed.claimed:[feed]
--   6 channel feed.ended:[feed]\0
--   7 [owner] of the new claims: see get
--   8 the most jobs to claim
--   9 the most ids of old results to reply
--   10.. for each job to finish: its id; the token of its claim, empty for any claim; how long
--     to keep the result, in milliseconds, empty for the configured time; 1 if the caller
--     delivers the result to its waiters itself, else 0: then it is kept for them; the serializer
--     of the result, * if it is as stored, empty if there is none; the result, or empty
-- Reply: the time of the claims in milliseconds; the feed's serializer, 0 for text; an array:
--   for each job 1, or the error NOTCLAIMED or OTHERSERIALIZER as text; an array: for each claim
--   its id, item, and how often it was cancelled, and more if it has options: see get; an array
--   of ids of results in excess of keep_results, for forget
-- Errors: NOFEED, NOTCONFIGURED, CONFIGNOTHASH, NOTCLAIMED, WRONGFEEDTYPE, OTHERSERIALIZER
-- Events: job.finish if there is a result, feed.finishes, for each job; feed.claimed for each
--   claim; in the end feed.ended, with the result if there is one, for each job whose result is
--   wanted
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
--- include now
--- include front_of
--- include add_event
--- include to_claim
--- include filled
--- include write_claims
--- include unclaim
--- include undo_count
--- include first_write
--- include change
--- include void_history
--- include end_jobs
--- include forgettable
--- include announce
--- include keep_history
--- include finishing
--- include old_results
--- include keep_results
local feeds, config, revision, history, publishes, items, ids = unpack(KEYS, 1, 7)
local claimed, cancelled, published, finishes, results, claims, failures, progress, options = unpack(KEYS, 8, 16)
local name, event, finish, finished, claim, ended, owner, count, forget = unpack(ARGV, 1, 9)

local failure, limit, paused, kind, most, age, serializer = open_feed(feeds, config, name, 'paused',
  'keep_results', 'keep_results_for', 'serializer')
failure = failure or wrong_type(name, kind, 'job', config)
if failure then
  return failure
end
most = whole(most)
local time, events = now(), {}
local done, statuses, stored, scores, entries = finishing(name, items, claimed, claims, results, {unpack(KEYS, 17)},
  {unpack(ARGV, 10)}, finish, finished, serializer, events)
paused = paused and paused ~= '0'
local known = filled(cancelled, failures, progress, options)
local taken = to_claim(ids, items, claimed, cancelled, options, known, paused and 0 or tonumber(count), owner,
  string.format('%.17g', time), claim, events)
redis.call('ZCARD', published)
local log = #events > 0 and open_history(limit, event, revision, history, publishes, items)

return change(function(undo)
  first_write(feeds)
  if #taken.scores == 0 then
    void_history(undo, log)
  end
  -- New claims come before old ones go: a hundred of each are then more than Redis keeps in a
  -- listpack, in which each look-up costs O(n). An ACL that refuses what takes the claims back
  -- refuses it here, before any write.
  redis.call('ZREM', claimed, '\0')
  redis.call('HDEL', claims, '\0')
  undo[#undo + 1] = function() unclaim(ids, claimed, claims, taken) end
  write_claims(ids, claimed, claims, taken)
  local old = {}
  if #done > 0 then
    end_jobs(undo, claimed, claims, items, stored, done, scores, entries)
    forgettable(undo, results, time, stored)
    local kept = keep_results(results, time, stored, most, tonumber(age or nil))
    if kept > 0 and most > 0 then
      old = old_results(results, items, most, tonumber(forget))
    end
    redis.call('INCRBY', finishes, #done)
    undo[#undo + 1] = function() undo_count(finishes, #done) end
  end
  announce(events, log)
  if #done > 0 then
    for _, key in ipairs({cancelled, failures, progress, options}) do
      if known[key] then
        redis.call('HDEL', key, unpack(done))
      end
    end
    redis.call('ZREM', published, unpack(done))
  end
  keep_history(log, events)
  for _, one in ipairs(stored) do
    if one.wanted then
      -- If Redis refuses this, the waiter reads the kept result.
      redis.pcall('PUBLISH', ended .. one.id, one.result and one.id .. '\0' .. one.result or one.id)
    end
  end
  return {string.format('%.17g', time), serializer or 0, statuses, taken.reply, old}
end)
