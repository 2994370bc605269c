-- Puts a feed into the registry with its configuration and says so: nothing, or
-- the error to answer with, after which nothing is changed.
local function announce_created(feeds, config, revision, history, name, newfeed, instance, fields)
  redis.call('SADD', feeds, name)
  local sent = redis.pcall('PUBLISH', newfeed, name .. '\0' .. instance)
  if type(sent) == 'table' then
    redis.call('SREM', feeds, name)
    return sent
  end
  -- Whoever keeps no history leaves it behind when he deletes a feed.
  redis.call('UNLINK', revision, history)
  store_fields(config, fields)
end
