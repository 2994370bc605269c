-- Say that a publisher waits for results: tells it whether to listen to those of all jobs, as a
-- few do, and notes of some jobs that their results are wanted.
--
-- KEYS
--   1 feed.listeners:[feed]  sorted set
--   2 feed.items:[feed]      hash
--   3 feed.later:[feed]      hash
--   4 feed.results:[feed]    sorted set
-- ARGV
--   1 who the publisher is
--   2 for how long that holds, in milliseconds
--   3 how many listen to all, at the most
--   4 for how long the results are wanted, in milliseconds
--   5.. ids
-- Reply: 1 if it is to listen to the results of all jobs, 2 if so do as many as may, else 0; then
--   the ids of jobs that are not there any more
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
  -- No publisher and no id has a NUL: this removes nothing, and a full memory does not refuse it.
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
