-- Observe ids that have no state, from now on.
--
-- KEYS
--   1 feeds                    set          the registry
--   2 feed.ids:[feed]          list
--   3 feed.items:[feed]        hash
--   4 feed.transit:[feed]      list
--   5 feed.delivering:[feed]   sorted set
--   6 feed.claimed:[feed]      sorted set   of a job feed
--   7 feed.stalled:[feed]      set          of a job feed
-- ARGV
--   1.. ids that may have no state
-- Reply: how many of them were checked, and how many are newly observed
-- Errors: none
-- Events: none
-- Cost: O(n) for each checked id, so it checks only a few if the line is long

--- include now
--- include searches
--- include has_state
--- include first_write
local feeds, ids, items, transit, delivering, claimed, stalled = unpack(KEYS)

local time = string.format('%.17g', now())
first_write(feeds)
local looked, dated = math.min(#ARGV, searches(ids)), 0
for index = 1, looked do
  local id = ARGV[index]
  if redis.call('HEXISTS', items, id) == 1
    and not has_state(ids, transit, claimed, stalled, id)
  then
    dated = dated + redis.call('ZADD', delivering, 'NX', time, id)
  end
end
return {looked, dated}
