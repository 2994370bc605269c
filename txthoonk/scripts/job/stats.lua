-- Count the jobs, as of one moment.
--
-- KEYS
--   1 feed.ids:[feed]         list
--   2 feed.claimed:[feed]     sorted set
--   3 feed.stalled:[feed]     set
--   4 feed.delayed:[feed]     sorted set
--   5 feed.publishes:[feed]   string
--   6 feed.finishes:[feed]    string
-- ARGV: none
-- Reply: how many are available, claimed, stalled and delayed, and how many were ever put and
--   finished
-- Errors: none
-- Events: none
-- Cost: O(1)

--- include whole
local ids, claimed, stalled, delayed, publishes, finishes = unpack(KEYS)
return {
  redis.call('LLEN', ids),
  redis.call('ZCARD', claimed),
  redis.call('SCARD', stalled),
  redis.call('ZCARD', delayed),
  whole(redis.call('GET', publishes)),
  whole(redis.call('GET', finishes)),
}
