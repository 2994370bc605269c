-- Tells those who wait that a job is due before all others that are delayed: in how many
-- milliseconds. Gives nothing, or the error to answer with.
local function tell_due(delayed, channel, id, due, time)
  local first = redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')
  if first[2] and tonumber(first[2]) <= due then
    return
  end
  local sent = redis.pcall('PUBLISH', channel, id .. '\0' .. string.format('%.0f', math.max(0, due - time)))
  return type(sent) == 'table' and sent or nil
end
