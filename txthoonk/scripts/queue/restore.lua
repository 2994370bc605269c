-- Put ids back into the line that were observed, or in delivery, for too long.
--
-- KEYS
--   1 feed.ids:[feed]          list
--   2 feed.items:[feed]        hash
--   3 feed.transit:[feed]      list
--   4 feed.delivering:[feed]   sorted set
--   5 feed.claimed:[feed]      sorted set   of a job feed
--   6 feed.stalled:[feed]      set          of a job feed
-- ARGV
--   1 the age in milliseconds from which an id is put back
--   2 LPUSH: to the end of the line, RPUSH: to its front
-- Reply: how many were checked, how many of them were put back, and how many were dropped
--   because they have no item; the others have a state again
-- Errors: none
-- Events: none
-- Cost: O(n) for each checked id, so it checks only a few if the line is long

--- include now
--- include searches
--- include has_state
--- include change
--- include remove_member
--- include push_id
--- include recall
local ids, items, transit, delivering, claimed, stalled = unpack(KEYS)
local age, push = tonumber(ARGV[1]), ARGV[2]

local before = string.format('%.17g', now() - age)
local old = redis.call('ZRANGEBYSCORE', delivering, '-inf', before, 'LIMIT', 0, searches(ids))
return change(function(undo)
  local restored, dropped = 0, 0
  -- The oldest id must be taken first, so at the front of the line it is pushed last.
  local front = push == 'RPUSH'
  for index = front and #old or 1, front and 1 or #old, front and -1 or 1 do
    local id = old[index]
    -- Removing comes first: when memory is full, Redis allows it, and then the rest.
    remove_member(undo, delivering, id)
    if redis.call('HEXISTS', items, id) == 0 then
      dropped = dropped + 1
    elseif not has_state(ids, transit, claimed, stalled, id) then
      if front then
        recall(undo, transit, ids)
      end
      push_id(undo, push, ids, id)
      restored = restored + 1
    end
  end
  return {#old, restored, dropped}
end)
