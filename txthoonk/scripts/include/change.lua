-- Does what a function does as a whole, or not at all: where Redis refuses something in it,
-- the functions in its list take back what it did, the last first. It puts them there itself,
-- or, where that would cost the many that succeed, another function does once it is needed. So
-- what takes something back, and is used for more than that, must be met before it: what is
-- refused cannot take back either. Gives what the function gives, or the error to answer with.
--- include error_of
local function change(make, list)
  local undo = not list and {}
  local done, reply = pcall(make, undo)
  if done then
    return reply
  end
  undo = undo or list()
  for index = #undo, 1, -1 do
    pcall(undo[index])
  end
  return error_of(reply)
end
