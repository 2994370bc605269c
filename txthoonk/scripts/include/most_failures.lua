-- Returns after how many failures a job is stalled, 0 for never: its own number, else that of the
-- feed.
local function most_failures(options, id, configured)
  local own = string.match(redis.call('HGET', options, id) or '', '^%d+ (%d+) ')
  return own and whole(own) or tonumber(configured or nil) or 0
end
