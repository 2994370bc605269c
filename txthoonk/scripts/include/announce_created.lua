-- Puts a feed into the registry with its configuration and says so, as a part of a change.
local function announce_created(undo, feeds, config, revision, history, name, newfeed, instance, fields)
  redis.call('SADD', feeds, name)
  undo[1] = function() redis.call('SREM', feeds, name) end
  store_fields(undo, config, fields)
  -- Whoever keeps no history leaves it behind when he deletes a feed.
  redis.call('UNLINK', revision, history)
  redis.call('PUBLISH', newfeed, name .. '\0' .. instance)
end
