-- Put ids that were taken back to the front of the line, because no get waits for them any more.
--
-- KEYS
--   1 feed.ids:[feed]          list
--   2 feed.transit:[feed]      list
--   3 feed.delivering:[feed]   sorted set
--   4 feed.claimed:[feed]      sorted set   of a job feed
--   5 feed.claims:[feed]       hash         of a job feed
--   6 feed.items:[feed]        hash
--   7 feed.stalled:[feed]      set          of a job feed
-- ARGV
--   1.. id, the time that get replied for it, id, time, ...; the id to take next comes last.
--     An empty time means that BLMOVE has moved the id; all others that it has moved go
--     back with it, so that they keep their order. - means that BRPOP has taken the id
-- Reply: how many were put back; others have taken the rest since
-- Errors: none
-- Events: none
-- Cost: O(log n) for each id; O(n) for one that BRPOP has taken

--- include has_state
--- include change
--- include remove_field
--- include remove_member
--- include push_id
--- include recall
local ids, transit, delivering, claimed, claims, items, stalled = unpack(KEYS)

local function let_go(undo, key, id, time)
  return tonumber(redis.call('ZSCORE', key, id) or nil) == tonumber(time) and remove_member(undo, key, id)
end

return change(function(undo)
  local count = 0
  for index = 1, #ARGV, 2 do
    local id, time = ARGV[index], ARGV[index + 1]
    local held
    if time == '' then
      held = remove_member(undo, delivering, id)
    elseif time == '-' then
      held = redis.call('HEXISTS', items, id) == 1 and not redis.call('ZSCORE', delivering, id)
        and not has_state(ids, transit, claimed, stalled, id)
    else
      held = let_go(undo, claimed, id, time)
      if held then
        remove_field(undo, claims, id)
      end
      held = let_go(undo, delivering, id, time) or held
    end
    local moved = time == '' and redis.call('LPOS', transit, id)
    if held or moved then
      -- When memory is full, Redis allows LREM, and then the rest. No id has a NUL.
      redis.call('LREM', transit, 1, '\0')
      recall(undo, transit, ids)
      count = count + 1
    end
    if held and not moved then
      push_id(undo, 'RPUSH', ids, id)
    end
  end
  return count
end)
