-- Finds jobs to claim at the front of the line, and adds the events of their claims. Returns their
-- part of the reply, and the arguments of write_claims. An id that has arrived with its item comes
-- first, and counts. Known has which of cancelled and options have fields, as filled returns it.
local function to_claim(ids, items, claimed, cancelled, options, known, count, owner, time, channel, events,
    moved, item)
  local found, contents, line = front_of(ids, items, claimed, count, moved, item)
  local taken = {reply = {}, scores = {}, entries = {}, ids = found, line = line, step = 0}
  local times = #found > 0 and known[cancelled] and redis.call('HMGET', cancelled, unpack(found)) or {}
  local own = #found > 0 and known[options] and redis.call('HMGET', options, unpack(found)) or {}
  local entry = string.format('%s:%s %s', owner, time, time)
  for index, id in ipairs(found) do
    local last = 3 * index
    taken.reply[last - 2], taken.reply[last - 1] = id, contents[index]
    taken.reply[last] = whole(times[index])
    if own[index] then
      local expires = tonumber(string.match(own[index], '^%d+') or nil) or 0
      local expired = expires > 0 and tonumber(time) >= expires
      taken.reply[last] = string.format('%.0f %d %s', taken.reply[last], expired and 1 or 0, own[index])
    end
    taken.scores[2 * index - 1], taken.scores[2 * index] = time, id
    taken.entries[2 * index - 1], taken.entries[2 * index] = id, entry
    add_event(events, 'claim', channel, id, false)
  end
  return taken
end
