-- Read the result of a job. If the job is not finished, record that its result is wanted, so that
-- a finish keeps it until the caller listens.
--
-- KEYS
--   1 feed.items:[feed]              hash
--   2 feed.results:[feed]            sorted set
--   3 feed.jobfinished:[feed]\0[id]  list
--   4 feed.later:[feed]              hash
--   5 feed.stalled:[feed]            set
-- ARGV
--   1 [id]
--   2 for how long it is wanted, in milliseconds
--   3 the record of an earlier call, to remove it because the caller listens now; else empty
-- Reply: 'active' or 'stalled', the item and the record, if the job is not finished; 'kept',
--   the result and the item, if the result is kept (older implementations did not keep the
--   item); nothing if there is neither, or if another program has popped one of the two
-- Errors: none
-- Events: none
-- Cost: O(log n)

--- include now
--- include change
--- include set_member
--- include remove_member
local items, results, kept, later, stalled = unpack(KEYS)
local id, wanted, noted = unpack(ARGV)

local item, state = redis.call('HGET', items, id), 'active'
if not item then
  local aside = redis.call('HGET', later, id)
  item = aside and string.sub(aside, 2)
elseif redis.call('SISMEMBER', stalled, id) == 1 then
  state = 'stalled'
end
local mine = noted ~= '' and tonumber(redis.call('ZSCORE', results, id) or nil) == tonumber(noted)
if item and noted == '' then
  noted = string.format('%.17g', now() + wanted)
  local longest = redis.call('EXISTS', kept) == 0 and tonumber(redis.call('ZSCORE', results, id) or nil)
  return change(function(undo)
    -- When memory is full, Redis allows this, and then the rest.
    redis.call('ZREM', results, '\0')
    -- Another publisher may want the result for longer.
    if not longest or longest < tonumber(noted) then
      set_member(undo, results, id, noted)
    end
    -- A kept result belongs to an earlier job.
    redis.call('DEL', kept)
    return {state, item, noted}
  end)
end
local result = item and {state, item, noted} or redis.call('LRANGE', kept, 0, 1)
-- Implementations of 2011 pop the result (thoonk.js) or the item (thoonk.py). What remains may be
-- either. Implementations that did not keep the item did not record its expiry either.
if #result == 1 then
  local expiry = tonumber(redis.call('ZSCORE', results, id) or nil) or 0
  if math.abs(now() + redis.call('PTTL', kept) - expiry) < 10 then
    result = {}
  end
end
return change(function(undo)
  if mine then
    remove_member(undo, results, id)
    redis.call('DEL', kept)
  end
  if item then
    return result
  end
  return result[1] and {'kept', result[1], result[2] or false} or {}
end)
