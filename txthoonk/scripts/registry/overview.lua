-- Read the state of a feed: its type, the number of items in each state, its workers and claims,
-- and the age of the oldest waiting job.
--
-- KEYS
--   1 feed.config:[feed]      hash
--   2 feed.ids:[feed]         list or sorted set
--   3 feed.items:[feed]       hash
--   4 feed.publishes:[feed]   string
--   5 feed.published:[feed]   sorted set
--   6 feed.claimed:[feed]     sorted set
--   7 feed.stalled:[feed]     set
--   8 feed.delayed:[feed]     sorted set
--   9 feed.finishes:[feed]    string
--   10 feed.workers:[feed]    hash
--   11 feed.claims:[feed]     hash
--   12 feed.delivering:[feed] sorted set
-- ARGV
--   1 the most claims to list, from 0
-- Reply: the time in milliseconds; the feed's type, feed if it has none; 1 if it is paused,
--   else 0; how many are available (of a feed: items), claimed or being delivered, stalled,
--   delayed; how many were ever put or published, and finished; the time in milliseconds since
--   which the oldest one waits in line, nil if it is not known; an array: owner and record of
--   each worker; an array: id, time and entry of each of the oldest claims
-- Errors: none
-- Events: none
-- Cost: O(w) for w workers, O(m) for m claims to list, O(c) for c claims, up to 1000

--- include whole
--- include now
--- include in_milliseconds
--- include waiting_since
local config, ids, items, publishes, published, claimed, stalled, delayed = unpack(KEYS, 1, 8)
local finishes, workers, claims, delivering = unpack(KEYS, 9)

local values = redis.pcall('HMGET', config, 'type', 'paused')
if values.err and not string.find(values.err, 'WRONGTYPE', 1, true) then
  return values
end
local kind = values[1] or 'feed'
local taken = kind == 'queue' or kind == 'pyqueue' or kind == 'job'
local reply = {
  string.format('%.17g', now()), kind, values[2] and values[2] ~= '0' and 1 or 0,
  taken and redis.call('LLEN', ids) or redis.call('HLEN', items),
  redis.call('ZCARD', claimed) + (kind == 'job' and 0 or redis.call('ZCARD', delivering)),
  redis.call('SCARD', stalled), redis.call('ZCARD', delayed),
  whole(redis.call('GET', publishes)), whole(redis.call('GET', finishes)),
  taken and waiting_since(ids, items, published, claimed), redis.call('HGETALL', workers), {},
}
local most = tonumber(ARGV[1])
local oldest = most > 0 and redis.call('ZRANGE', claimed, 0, most - 1, 'WITHSCORES') or {}
local listed = reply[12]
for index = 1, #oldest, 2 do
  listed[#listed + 1] = oldest[index]
  listed[#listed + 1] = oldest[index + 1]
  listed[#listed + 1] = redis.call('HGET', claims, oldest[index]) or ''
end
return reply
