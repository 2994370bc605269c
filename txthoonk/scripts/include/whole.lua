-- Returns the whole number from 0 in a text; 0 if there is none. Another program may have stored
-- anything.
local function whole(text)
  local number = tonumber(text or nil) or 0
  return number >= 1 and math.floor(math.min(number, 1e15)) or 0
end
