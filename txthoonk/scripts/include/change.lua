-- Does what a function does as a whole, or not at all: where Redis refuses something in it,
-- the functions that it has put into its list take back what it did, the last first. So what
-- takes something back, and is used for more than that, must be met before it: what is refused
-- cannot take back either. Gives what the function gives, or the error to answer with.
--- include error_of
local function change(make)
  local undo = {}
  local done, reply = pcall(make, undo)
  if done then
    return reply
  end
  for index = #undo, 1, -1 do
    pcall(undo[index])
  end
  return error_of(reply)
end
