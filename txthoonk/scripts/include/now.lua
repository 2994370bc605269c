-- Returns the server's time in milliseconds, with microseconds as the fraction.
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + time[2] / 1000
end
