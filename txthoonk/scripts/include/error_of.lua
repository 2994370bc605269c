-- Gives the error to answer with for one that pcall has caught: before Redis 7 it is a text,
-- which says first where it was.
local function error_of(caught)
  if type(caught) ~= 'string' then
    return caught
  end
  local text = string.match(caught, '^.*user_script: ?%d+: %-?(.*)$') or caught
  return {err = string.match(text, '^%u+ ') and text or 'ERR ' .. text}
end
