-- Read the positions of some feeds, without their histories.
--
-- KEYS
--   1 feeds                   set          the registry
--   2 feed.config:[feed]      hash
--   3 feed.revision:[feed]    hash
--   4 feed.publishes:[feed]   string
--   5.. feed.items:[feed]     hash         and then all four of the next feed
-- ARGV
--   1.. names of the feeds
-- Reply: for each feed nil if it is not in the registry; else its counter of publishes, and its
--   epoch and revision if it has a history; the epoch is empty if the history is no longer kept,
--   or if the counters show that a writer without history has changed the feed
-- Errors: none
-- Events: none
-- Cost: O(m) for m feeds

local reply = {}
for first = 2, #KEYS, 4 do
  local config, revision, publishes, items = unpack(KEYS, first, first + 3)
  local at, standing = (first + 2) / 4, false
  if redis.call('SISMEMBER', KEYS[1], ARGV[at]) == 1 then
    local count = redis.call('GET', publishes) or '0'
    local state = redis.call('HMGET', revision, '\0epoch', '\0revision', '\0publishes', '\0length')
    -- thoonk.js 0.2 kept no hash: such a feed has no history.
    local setting = redis.pcall('HGET', config, 'history')
    if type(setting) == 'table' and not string.find(setting.err, 'WRONGTYPE', 1, true) then
      return setting
    end
    local kept = tonumber(type(setting) == 'string' and setting or 0) or 0
    local known = kept > 0 and state[3] == count
    if state[1] and not (known and tonumber(state[4]) == redis.call('HLEN', items)) then
      state[1] = ''
    end
    standing = {count, state[1], state[2]}
  end
  reply[at] = standing
end
return reply
