-- Finish a claimed job: it is gone then. Its result, if it has one, is published, and
-- kept for a time if asked to.
--
-- KEYS
--   1 feeds                           set          the registry
--   2 feed.config:[feed]              hash
--   3 feed.revision:[feed]            hash
--   4 feed.history:[feed]             stream
--   5 feed.publishes:[feed]           string
--   6 feed.items:[feed]               hash
--   7 feed.claimed:[feed]             sorted set
--   8 feed.cancelled:[feed]           hash
--   9 feed.published:[feed]           sorted set
--   10 feed.finishes:[feed]           string
--   11 feed.results:[feed]            sorted set
--   12 feed.jobfinished:[feed]\0[id]  list
-- ARGV
--   1 name of the feed
--   2 channel feed.event:[feed]
--   3 channel job.finish:[feed]
--   4 channel feed.finishes:[feed]
--   5 id
--   6 how long to keep the result, in milliseconds, 0 for not at all
--   7 1 if the caller tells those who want it, else 0: it is kept for them then
--   8.. the result, if there is one
-- Reply: 1
-- Errors: NOFEED, NOTCLAIMED
-- Events: job.finish if there is a result, feed.finishes
-- Cost: O(log n)

--- include feed_missing
--- include open_feed
--- include open_history
--- include not_claimed
--- include now
--- include first_write
--- include undo_count
--- include announce
--- include keep_history
local feeds, config, revision, history, publishes, items = unpack(KEYS, 1, 6)
local claimed, cancelled, published, finishes, results, kept = unpack(KEYS, 7)
local name, event, finish, finished, id, keep, told = unpack(ARGV, 1, 7)
local result = ARGV[8]

local failure, limit = open_feed(feeds, config, name)
failure = failure or not_claimed(claimed, name, id)
if failure then
  return failure
end
local query = redis.call('HGET', items, id) or ''
redis.call('HLEN', cancelled)
redis.call('ZCARD', published)
-- While the job was not finished, this is until when its result is wanted; unless a
-- result of an earlier job of that id is kept still.
local wanted = redis.call('ZSCORE', results, id)
local stale = wanted and redis.call('EXISTS', kept) == 1
local log = open_history(limit, event, revision, history, publishes, items)

first_write(feeds)
local count = redis.pcall('INCR', finishes)
if type(count) == 'table' then
  return count
end
local events = {'finished', finished, id, false}
if result then
  events = {'finish', finish, id, result, 'finished', finished, id, false}
end
failure = announce(events, log)
if failure then
  undo_count(finishes, 1)
  return failure
end
redis.call('ZREM', claimed, id)
redis.call('HDEL', cancelled, id)
redis.call('ZREM', published, id)
redis.call('HDEL', items, id)
redis.call('DEL', kept)
if wanted then
  redis.call('ZREM', results, id)
end
local time = now()
local until_ = tonumber(keep) > 0 and time + keep
  or told == '0' and not stale and tonumber(wanted or 0)
if result and until_ and until_ > time then
  -- The index forgets what has expired, some at a time.
  for _, old in ipairs(redis.call('ZRANGEBYSCORE', results, '-inf', string.format('%.17g', time), 'LIMIT', 0, 10)) do
    redis.call('ZREM', results, old)
  end
  redis.call('RPUSH', kept, result, query)
  redis.call('PEXPIRE', kept, math.ceil(until_ - time))
  redis.call('ZADD', results, string.format('%.17g', until_), id)
end
keep_history(log, events)
return 1
