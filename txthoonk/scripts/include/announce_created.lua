-- Registers and configures a feed, and publishes that, as part of a change. KEYS are those of create.
local function announce_created(undo, feeds, config, items, name, newfeed, instance, fields)
  -- Implementations that know only the contract's keys leave ours when they delete a feed. All of
  -- them remove the configuration: where it exists, only the name in the registry was lost.
  -- (feed.idincr goes with them, and what is in feed.listeners ends by itself.)
  local left = redis.call('EXISTS', config) == 1 and {KEYS[4], KEYS[5]}
    -- Items may have been put before the feed was created.
    or redis.call('EXISTS', items) == 1 and {KEYS[4], KEYS[5], unpack(KEYS, 13)}
    or {unpack(KEYS, 3)}
  redis.call('SADD', feeds, name)
  undo[1] = function() redis.call('SREM', feeds, name) end
  store_fields(undo, config, fields)
  redis.call('UNLINK', unpack(left))
  redis.call('PUBLISH', newfeed, name .. '\0' .. instance)
end
