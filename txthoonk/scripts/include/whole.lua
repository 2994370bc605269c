-- Gives the whole number from 0 that a text stands for; 0 for what is none. Others may have
-- stored anything.
local function whole(text)
  local number = tonumber(text or nil) or 0
  return number >= 1 and math.floor(math.min(number, 1e15)) or 0
end
