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
--- include set_field
--- include set_member
--- include remove_field
--- include remove_member
--- include push_id
--- include change
local config, items, ids, published, claimed, cancelled, stalled = unpack(KEYS, 1, 7)
local their_items, their_ids, their_published = unpack(KEYS, 8, 10)
local their_claimed, their_cancelled, their_stalled = unpack(KEYS, 11, 13)
local source, mark, moves, line = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4] == '1'

if redis.call('HGET', config, mark) ~= source then
  return {}
end
-- What cannot be written or undone fails here, before anything has changed: ZADD first, because
-- Redis refuses it when memory is full.
redis.call('ZADD', published, 'XX', 0, '\0')
for _, key in ipairs({items, cancelled}) do redis.call('HDEL', key, '\0') end
redis.call('ZREM', claimed, '\0')
for _, key in ipairs({ids, their_ids}) do redis.call('LREM', key, 1, '\0') end
redis.call('SREM', stalled, '\0')
local jobs = {}
for _, id in ipairs(fields_from(5)) do
  jobs[#jobs + 1] = {id = id, item = redis.call('HGET', their_items, id),
    put = redis.call('ZSCORE', their_published, id), claim = redis.call('ZSCORE', their_claimed, id),
    count = redis.call('HGET', their_cancelled, id), stalled = redis.call('SISMEMBER', their_stalled, id) == 1}
end
local time = string.format('%.17g', now())

local function take(undo, job)
  set_field(undo, items, job.id, job.item)
  if job.count then set_field(undo, cancelled, job.id, job.count) end
  if job.stalled then
    redis.call('SADD', stalled, job.id)
    undo[#undo + 1] = function() redis.call('SREM', stalled, job.id) end
    return
  end
  set_member(undo, published, job.id, job.put or time)
  if job.claim then
    set_member(undo, claimed, job.id, job.claim)
  elseif line then
    push_id(undo, 'LPUSH', ids, job.id)
  end
end

local function leave(undo, job)
  remove_field(undo, their_items, job.id)
  remove_field(undo, their_cancelled, job.id)
  remove_member(undo, their_published, job.id)
  remove_member(undo, their_claimed, job.id)
  if redis.call('SREM', their_stalled, job.id) == 1 then
    undo[#undo + 1] = function() redis.call('SADD', their_stalled, job.id) end
  end
end

return change(function(undo)
  local taken = 0
  for _, job in ipairs(jobs) do
    if job.item and redis.call('HEXISTS', items, job.id) == 0 then
      taken = taken + 1
      take(undo, job)
    end
    if moves then
      leave(undo, job)
    end
  end
  -- A place in the line cannot be restored, so this comes last.
  for _, job in ipairs(moves and jobs or {}) do
    redis.call('LREM', their_ids, -1, job.id)
  end
  return {taken}
end)
