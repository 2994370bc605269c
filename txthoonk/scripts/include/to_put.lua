-- Parses the puts, which ARGV has from some place on as id, item, id, item, ... Returns the ids,
-- the list of id and item, and the events, without those that already have an answer. Sets the
-- answer of the others to their id.
local function to_put(from, channel, answers)
  local ids, words, events = {}, {}, {}
  for at = from, #ARGV, 2 do
    local id, item, index = ARGV[at], ARGV[at + 1], (at - from) / 2 + 1
    if not answers[index] then
      answers[index] = id
      local n = #ids
      ids[n + 1] = id
      words[2 * n + 1], words[2 * n + 2] = id, item
      events[4 * n + 1], events[4 * n + 2] = 'put', channel
      events[4 * n + 3], events[4 * n + 4] = id, item
    end
  end
  return ids, words, events
end
