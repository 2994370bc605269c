-- Count the jobs, as of one moment.
--
-- KEYS
--   1 feed.ids:[feed]         list
--   2 feed.claimed:[feed]     sorted set
--   3 feed.stalled:[feed]     set
--   4 feed.publishes:[feed]   string
--   5 feed.finishes:[feed]    string
-- ARGV: none
-- Reply: how many are available, claimed and stalled, and how many were ever put and
--   finished
-- Errors: none
-- Events: none
-- Cost: O(1)

--- include whole
local ids, claimed, stalled, publishes, finishes = unpack(KEYS)
return {
  redis.call('LLEN', ids),
  redis.call('ZCARD', claimed),
  redis.call('SCARD', stalled),
  whole(redis.call('GET', publishes)),
  whole(redis.call('GET', finishes)),
}
