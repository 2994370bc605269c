-- Returns the events of a publish, beginning with those of the dropped items.
local function publish_events(gone, retract, kind, channel, id, item)
  if not gone or #gone == 0 then
    return {kind, channel, id, item}
  end
  local events = {}
  for _, oldest in ipairs(gone) do
    add_event(events, 'retract', retract, oldest, false)
  end
  add_event(events, kind, channel, id, item)
  return events
end
