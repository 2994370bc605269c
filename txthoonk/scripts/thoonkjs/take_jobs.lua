-- Take over jobs of a job feed of thoonk.js 0.6 to 1.0, with their ids and states.
--
-- KEYS
--   1 feed.config:[feed]      hash
--   2 feed.items:[feed]       hash
--   3 feed.ids:[feed]         list
--   4 feed.published:[feed]   sorted set
--   5 feed.claimed:[feed]     sorted set
--   6 feed.cancelled:[feed]   hash
--   7 feed.stalled:[feed]     set
--   8 job.items:[source]      hash
--   9 job.ids:[source]        list
--   10 job.published:[source] sorted set
--   11 job.claimed:[source]   sorted set
--   12 job.cancelled:[source] hash
--   13 job.stalled:[source]   set
-- ARGV
--   1 [source]
--   2 [mark]: the field of the configuration that names the source during the import
--   3 1 to remove the jobs from the source, 0 to leave them there
--   4 1 if the jobs are in line, the next to be delivered first; 0 if they are in no line
--   5.. ids
-- Reply: how many were taken over; nothing if no import of the source into the feed is under way
-- Errors: none
-- Events: none
-- Cost: O(log n) for each; O(n) for one that is removed from the middle of the line

--- include now
--- include fields_from
local config, items, ids, published, claimed, cancelled, stalled = unpack(KEYS, 1, 7)
local their_items, their_ids, their_published = unpack(KEYS, 8, 10)
local their_claimed, their_cancelled, their_stalled = unpack(KEYS, 11, 13)
local source, mark, moves, line = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4] == '1'

if redis.call('HGET', config, mark) ~= source then
  return {}
end
-- A key of a wrong type fails here, before anything has changed.
redis.call('HLEN', items)
redis.call('LLEN', ids)
redis.call('ZCARD', published)
redis.call('ZCARD', claimed)
redis.call('HLEN', cancelled)
redis.call('SCARD', stalled)
redis.call('LLEN', their_ids)
local jobs = {}
for _, id in ipairs(fields_from(5)) do
  jobs[#jobs + 1] = {id = id, item = redis.call('HGET', their_items, id),
    put = redis.call('ZSCORE', their_published, id), claim = redis.call('ZSCORE', their_claimed, id),
    count = redis.call('HGET', their_cancelled, id), stalled = redis.call('SISMEMBER', their_stalled, id) == 1}
end
local taken, time = 0, string.format('%.17g', now())
-- The first write may be refused, because this is a replica or because memory is full; then
-- nothing has changed.
for _, job in ipairs(jobs) do
  if job.item and redis.call('HSETNX', items, job.id, job.item) == 1 then
    taken = taken + 1
    if job.count then
      redis.call('HSET', cancelled, job.id, job.count)
    end
    if job.stalled then
      redis.call('SADD', stalled, job.id)
    else
      redis.call('ZADD', published, job.put or time, job.id)
    end
    if job.claim and not job.stalled then
      redis.call('ZADD', claimed, job.claim, job.id)
    elseif line and not job.stalled then
      redis.call('LPUSH', ids, job.id)
    end
  end
  if moves then
    redis.call('LREM', their_ids, -1, job.id)
    redis.call('HDEL', their_items, job.id)
    redis.call('HDEL', their_cancelled, job.id)
    redis.call('ZREM', their_published, job.id)
    redis.call('ZREM', their_claimed, job.id)
    redis.call('SREM', their_stalled, job.id)
  end
end
return {taken}
