-- Looks at what is to be put, id, item, id, item, ...: gives the ids, the ids in the order in
-- which they are pushed, and the events.
local function many_to_put(words, channel, push)
  local named, line, events = {}, {}, {}
  for at = 1, #words, 2 do
    local id, last = words[at], #events
    named[#named + 1] = id
    events[last + 1], events[last + 2], events[last + 3], events[last + 4] = 'put', channel, id, words[at + 1]
  end
  for index, id in ipairs(named) do
    line[push == 'LPUSH' and index or #named + 1 - index] = id
  end
  return named, line, events
end
