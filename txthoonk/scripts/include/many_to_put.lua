-- Takes ARGV apart from the 5th on, id, item, id, item, ...: gives them, the ids alone, the
-- ids in the order in which they are pushed, and the events of their puts.
local function many_to_put(channel, push)
  local pairs_, named, line, events = {}, {}, {}, {}
  for at = 5, #ARGV, 2 do
    local id, item, last = ARGV[at], ARGV[at + 1], #events
    pairs_[#pairs_ + 1], pairs_[#pairs_ + 2] = id, item
    named[#named + 1] = id
    events[last + 1], events[last + 2], events[last + 3], events[last + 4] = 'put', channel, id, item
  end
  for index, id in ipairs(named) do
    line[push == 'LPUSH' and index or #named + 1 - index] = id
  end
  return pairs_, named, line, events
end
