-- Read the positions of some feeds, without their histories.
--
-- KEYS
--   1 feeds                   set          the registry
--   2 feed.config:[feed]      hash
--   3 feed.revision:[feed]    hash
--   4 feed.publishes:[feed]   string
--   5 feed.items:[feed]       hash
--   6.. feed.ids:[feed]       sorted set   and then all five of the next feed
-- ARGV
--   1.. names of the feeds
-- Reply: for each feed nil if it is not in the registry; else its counter of publishes, and its
--   epoch and revision if it has a history; the epoch is empty if the history is no longer kept,
--   or if the counters show that a writer without history has changed the feed; of a plain feed
--   without history, nil, nil and its last id
-- Errors: none
-- Events: none
-- Cost: O(m) for m feeds

local reply = {}
for first = 2, #KEYS, 5 do
  local config, revision, publishes, items, ids = unpack(KEYS, first, first + 4)
  local at, standing = (first + 3) / 5, false
  if redis.call('SISMEMBER', KEYS[1], ARGV[at]) == 1 then
    local count = redis.call('GET', publishes) or '0'
    local state = redis.call('HMGET', revision, '\0epoch', '\0revision', '\0publishes', '\0length')
    -- thoonk.js 0.2 kept no hash: such a feed has no history.
    local settings = redis.pcall('HMGET', config, 'history', 'type')
    if settings.err and not string.find(settings.err, 'WRONGTYPE', 1, true) then
      return settings
    end
    local kept = tonumber(settings[1] or 0) or 0
    local last = false
    if not settings.err and (settings[2] or 'feed') == 'feed' and not state[1] then
      last = redis.call('ZRANGE', ids, -1, -1)[1] or false
    end
    local known = kept > 0 and state[3] == count
    if state[1] and not (known and tonumber(state[4]) == redis.call('HLEN', items)) then
      state[1] = ''
    end
    standing = {count, state[1], state[2], last}
  end
  reply[at] = standing
end
return reply
