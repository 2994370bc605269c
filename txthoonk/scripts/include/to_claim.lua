-- Finds jobs to claim at the front of the line, and adds the events of their claims. Returns their
-- part of the reply, and the arguments of write_claims. An id that has arrived with its item comes
-- first, and counts.
local function to_claim(ids, items, claimed, cancelled, count, owner, time, channel, events, moved, item)
  local found, contents, line = front_of(ids, items, claimed, count, moved, item)
  local taken = {reply = {}, scores = {}, entries = {}, ids = found, line = line, step = 0}
  local times = #found > 0 and redis.call('HMGET', cancelled, unpack(found))
  local entry = string.format('%s:%s %s', owner, time, time)
  for index, id in ipairs(found) do
    local last = 3 * index
    taken.reply[last - 2], taken.reply[last - 1] = id, contents[index]
    taken.reply[last] = whole(times[index])
    taken.scores[2 * index - 1], taken.scores[2 * index] = time, id
    taken.entries[2 * index - 1], taken.entries[2 * index] = id, entry
    add_event(events, 'claim', channel, id, false)
  end
  return taken
end
