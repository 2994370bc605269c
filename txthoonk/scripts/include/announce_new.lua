-- Publishes the new jobs of feeds, as new_jobs returns them; see announce.
local function announce_new(found, time)
  for _, feed in ipairs(found) do
    if not feed.shared then
      announce(feed.events, feed.log)
    end
    if feed.first then
      tell_due(feed.due_channel, feed.first.id, feed.first.due, time)
    end
  end
end
