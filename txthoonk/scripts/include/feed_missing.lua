-- Returns the error to reply if the feed is not in the registry, else nothing.
local function feed_missing(feeds, name)
  if redis.call('SISMEMBER', feeds, name) == 0 then
    return redis.error_reply("NOFEED feed '" .. name .. "' does not exist: create it first")
  end
end
