-- Returns the error to reply for one that pcall has caught. Before Redis 7 that is a text, which
-- begins with the place in the script.
local function error_of(caught)
  if type(caught) ~= 'string' then
    return caught
  end
  local text = string.match(caught, '^.*user_script: ?%d+: %-?(.*)$') or caught
  return {err = string.match(text, '^%u+ ') and text or 'ERR ' .. text}
end
