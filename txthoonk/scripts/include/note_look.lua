-- Records the first look that finds claims too old. Returns in how many milliseconds the next look
-- can end claims, false if no claim is too old.
local function note_look(overdue, claimed, time, look)
  if look.more then
    return '0'
  end
  local count = 0
  for _, range in ipairs(up_to(time - look.timeout)) do
    count = count + redis.call('ZCOUNT', claimed, range[1], range[2])
  end
  if count == 0 then
    redis.call('DEL', overdue)
    return false
  end
  if not look.seen or time - look.seen >= look.chance then
    redis.call('SET', overdue, string.format('%.17g', time) .. ' ' .. look.server, 'PX', 604800000)
    look.seen = time
  end
  return string.format('%.0f', math.ceil(look.seen + look.chance - time))
end
