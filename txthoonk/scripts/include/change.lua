-- Runs a function as a whole or not at all: if Redis refuses a command in it, the functions in
-- its undo list run, the last first. The function fills that list, or, to keep the normal case
-- cheap, a second function makes the list when it is needed. A command that undo uses must have
-- run before the change that it undoes: if Redis refuses it, undo would fail, too.
-- Returns what the function returns, or the error to reply.
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
