-- Returns the failure of open_feed, unless it is that the configuration is not a hash: such a feed
-- cannot be changed, but can be read, and keeps no history.
local function read_anyway(failure)
  if failure and not string.find(failure.err, 'CONFIGNOTHASH', 1, true) then
    return failure
  end
end
