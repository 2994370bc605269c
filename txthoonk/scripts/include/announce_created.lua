-- Registers and configures a feed, and publishes that, as part of a change.
local function announce_created(undo, feeds, config, revision, history, name, newfeed, instance, fields)
  redis.call('SADD', feeds, name)
  undo[1] = function() redis.call('SREM', feeds, name) end
  store_fields(undo, config, fields)
  -- Implementations without history do not remove it when they delete a feed.
  redis.call('UNLINK', revision, history)
  redis.call('PUBLISH', newfeed, name .. '\0' .. instance)
end
