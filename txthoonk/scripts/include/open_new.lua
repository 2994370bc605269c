-- Reads the positions of the histories of feeds, as new_jobs returns them, before a change. The feed
-- with some name shares its history and its events with the caller.
local function open_new(found, name, log, events)
  for _, feed in ipairs(found) do
    feed.log, feed.events, feed.shared = log, events, true
    if feed.name ~= name then
      feed.log = open_history(feed.limit, feed.event, feed.revision, feed.history, feed.publishes, feed.items)
      feed.events, feed.shared = {}, false
    end
  end
end
