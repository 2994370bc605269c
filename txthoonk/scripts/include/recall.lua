-- Returns the ids that BLMOVE has moved to transit to the front of the line, in their order, as
-- part of a change. What goes to the front next is then before them, as if they had never left. A
-- get that waits for one of them takes what is at the front instead.
local function recall(undo, transit, ids)
  local count = 0
  while count < 1000 and redis.call('LMOVE', transit, ids, 'LEFT', 'RIGHT') do
    count = count + 1
  end
  undo[#undo + 1] = count > 0 and function()
    for _ = 1, count do
      redis.call('LMOVE', ids, transit, 'RIGHT', 'LEFT')
    end
  end or nil
end
