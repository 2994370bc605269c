-- Tells those who wait when the job is due that is due before all others: in how many
-- milliseconds. It is an error if that is refused.
local function tell_due(channel, id, due, time)
  redis.call('PUBLISH', channel, id .. '\0' .. string.format('%.0f', math.max(0, due - time)))
end
