-- Publishes in how many milliseconds the first delayed job is due. Raises an error if Redis
-- refuses that.
local function tell_due(channel, id, due, time)
  redis.call('PUBLISH', channel, id .. '\0' .. string.format('%.0f', math.max(0, due - time)))
end
