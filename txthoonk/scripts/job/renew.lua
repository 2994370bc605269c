-- Restart the timeout of a claim.
--
-- KEYS
--   1 feeds                   set          the registry
--   2 feed.claimed:[feed]     sorted set
--   3 feed.claims:[feed]      hash
-- ARGV
--   1 name of the feed
--   2 id
--   3 token of the claim, empty for any claim
-- Reply: 1
-- Errors: NOFEED, NOTCLAIMED
-- Events: none
-- Cost: O(log n)

--- include feed_missing
--- include in_milliseconds
--- include not_claimed
--- include claim_of
--- include now
--- include first_write
--- include renew_claim
local feeds, claimed, claims = unpack(KEYS)
local name, id, token = unpack(ARGV)

local score, entry = claim_of(claimed, claims, id)
local failure = feed_missing(feeds, name) or not_claimed(name, id, token, score, entry)
if failure then
  return failure
end
first_write(feeds)
renew_claim(claimed, claims, id, score, entry, string.format('%.17g', now()))
return 1
