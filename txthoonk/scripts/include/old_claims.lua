-- Returns claims that were already too old at a first look, half a timeout or 30 seconds ago, and
-- were not renewed since; and the state of the look, for note_look. After an outage, all claims are
-- too old at once, even those of live workers: the first look gives them time to renew.
-- A look on another server, or one that is later than now, does not count.
local function old_claims(overdue, claimed, time, timeout, most)
  local noted = redis.pcall('GET', overdue)
  local seen, where = string.match(type(noted) == 'string' and noted or '', '^(%d+%.?%d*) (%x+)$')
  local look = {timeout = timeout, chance = math.min(timeout / 2, 30000),
    server = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or '0'}
  if where == look.server and tonumber(seen) <= time then
    look.seen = tonumber(seen)
  end
  local old = {}
  if look.seen and time - look.seen >= look.chance then
    for _, range in ipairs(up_to(look.seen - timeout)) do
      local more = redis.call('ZRANGEBYSCORE', claimed, range[1], range[2], 'LIMIT', 0, most - #old)
      for _, id in ipairs(more) do
        old[#old + 1] = id
      end
    end
  end
  look.more = #old == tonumber(most)
  return old, look
end
