-- List some claims of an owner.
--
-- KEYS
--   1 feed.claimed:[feed]     sorted set
--   2 feed.claims:[feed]      hash
-- ARGV
--   1 [owner] of the claims
--   2 cursor of HSCAN; 0 to start
--   3 approximate number of claims to scan
-- Reply: the next cursor, 0 at the end; the bytes of the scanned claims; and id, token, id,
--   token, ...
-- Errors: none
-- Events: none
-- Cost: O(m) for m claims to scan

--- include in_milliseconds
--- include holds_claim
local claimed, claims = KEYS[1], KEYS[2]
local owner, from, count = unpack(ARGV)

local cursor, flat = unpack(redis.call('HSCAN', claims, from, 'COUNT', count))
local owned, size = {}, 0
for index = 1, #flat, 2 do
  local id, entry = flat[index], flat[index + 1]
  local token = string.match(entry, '^(%S+) ')
  size = size + #entry
  if token and string.match(token, '^(.*):') == owner
    and holds_claim(token, redis.call('ZSCORE', claimed, id), entry)
  then
    owned[#owned + 1] = id
    owned[#owned + 1] = token
  end
end
return {cursor, size, owned}
