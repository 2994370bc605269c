-- Stores the histories of feeds, as new_jobs returns them; see keep_history.
local function keep_new(found)
  for _, feed in ipairs(found) do
    if not feed.shared then
      keep_history(feed.log, feed.events)
    end
  end
end
