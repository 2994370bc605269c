-- Returns a stored time in milliseconds. Another program may have stored seconds or microseconds: the
-- magnitude says which, between the years 1973 and 5138.
local function in_milliseconds(time)
  time = tonumber(time)
  return time < 1e11 and time * 1000 or time >= 1e14 and time / 1000 or time
end
