-- Adds an event to a list for announce.
local function add_event(events, kind, channel, id, rest)
  local at = #events
  events[at + 1], events[at + 2], events[at + 3], events[at + 4] = kind, channel, id, rest
end
