-- Takes what is to be put apart, which stands in ARGV from some place on as id, item, id,
-- item, ...: gives the ids, id and item as they stand there, and the events; without those
-- that are answered already. The others are answered with the id.
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
