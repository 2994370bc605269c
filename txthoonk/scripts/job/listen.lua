-- Register a publisher that waits for results: reply whether it should listen to the results of
-- all jobs, as a few publishers do, and record that the results of some jobs are wanted.
--
-- KEYS
--   1 feed.listeners:[feed]  sorted set
--   2 feed.items:[feed]      hash
--   3 feed.later:[feed]      hash
--   4 feed.results:[feed]    sorted set
-- ARGV
--   1 [instance] uuid of the publisher
--   2 for how long the registration is valid, in milliseconds
--   3 the most publishers that listen to all results
--   4 for how long the results are wanted, in milliseconds
--   5.. ids
-- Reply: 1 if it should listen to the results of all jobs, 2 if it should and no further
--   publisher may, else 0; then the ids of jobs that no longer exist
-- Errors: none
-- Events: none
-- Cost: O(log n) for each id

--- include now
--- include change
--- include set_member
local listeners, items, later, results = unpack(KEYS)
local who, lease, most, wanted = unpack(ARGV, 1, 4)

local time = now()
local noted = string.format('%.17g', time + wanted)
local present = redis.call('ZRANGE', listeners, string.format('%.17g', time), '+inf', 'BYSCORE')
local count, all = #present, false
for _, one in ipairs(present) do
  all = all or one == who
end
if not all and count < tonumber(most) then
  count, all = count + 1, true
end
local reply = {all and (count < tonumber(most) and 1 or 2) or 0}
return change(function(undo)
  -- When memory is full, Redis allows ZREM, and then the rest. Nothing is removed: no publisher
  -- has a NUL.
  redis.call('ZREM', listeners, '\0')
  for index = 5, #ARGV do
    local id = ARGV[index]
    if redis.call('HEXISTS', items, id) == 0 and redis.call('HEXISTS', later, id) == 0 then
      reply[#reply + 1] = id
    elseif (tonumber(redis.call('ZSCORE', results, id) or nil) or 0) < tonumber(noted) then
      set_member(undo, results, id, noted)
    end
  end
  if all then
    set_member(undo, listeners, who, string.format('%.17g', time + lease))
    redis.call('PEXPIRE', listeners, lease)
  end
  redis.call('ZREMRANGEBYSCORE', listeners, '-inf', string.format('%.17g', time))
  return reply
end)
