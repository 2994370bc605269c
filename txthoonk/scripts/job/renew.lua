-- Restart the clock of a claim.
--
-- KEYS
--   1 feeds                   set          the registry
--   2 feed.claimed:[feed]     sorted set
-- ARGV
--   1 name of the feed
--   2 id
-- Reply: 1
-- Errors: NOFEED, NOTCLAIMED
-- Events: none
-- Cost: O(log n)

--- include feed_missing
--- include not_claimed
--- include now
--- include first_write
local feeds, claimed = KEYS[1], KEYS[2]
local name, id = ARGV[1], ARGV[2]

local failure = feed_missing(feeds, name) or not_claimed(claimed, name, id)
if failure then
  return failure
end
first_write(feeds)
redis.call('ZADD', claimed, string.format('%.17g', now()), id)
return 1
