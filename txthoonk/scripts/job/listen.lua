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
local listeners, items, later, results = unpack(KEYS)
local who, lease, most, wanted = unpack(ARGV, 1, 4)

local time = now()
local noted = string.format('%.17g', time + wanted)
redis.call('ZREMRANGEBYSCORE', listeners, '-inf', string.format('%.17g', time))
local all = redis.call('ZSCORE', listeners, who) or redis.call('ZCARD', listeners) < tonumber(most)
redis.call('ZCARD', results)
if all then
  redis.call('ZADD', listeners, string.format('%.17g', time + lease), who)
  redis.call('PEXPIRE', listeners, lease)
end
local reply = {all and (redis.call('ZCARD', listeners) < tonumber(most) and 1 or 2) or 0}
for index = 5, #ARGV do
  local id = ARGV[index]
  if redis.call('HEXISTS', items, id) == 1 or redis.call('HEXISTS', later, id) == 1 then
    redis.call('ZADD', results, 'GT', noted, id)
  else
    reply[#reply + 1] = id
  end
end
return reply
