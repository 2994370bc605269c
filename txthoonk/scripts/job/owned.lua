-- List the claims of an owner.
--
-- KEYS
--   1 feed.claimed:[feed]     sorted set
--   2 feed.claims:[feed]      hash
-- ARGV
--   1 [owner] of the claims
-- Reply: id, token, id, token, ...
-- Errors: none
-- Events: none
-- Cost: O(n) for n claimed jobs

--- include holds_claim
local claimed, claims, owner = KEYS[1], KEYS[2], ARGV[1]

local reply, all = {}, redis.call('HGETALL', claims)
for index = 1, #all, 2 do
  local id, entry = all[index], all[index + 1]
  local token = string.match(entry, '^(%S+) ')
  if token and string.match(token, '^(.*):') == owner
    and holds_claim(token, redis.call('ZSCORE', claimed, id), entry)
  then
    reply[#reply + 1] = id
    reply[#reply + 1] = token
  end
end
return reply
