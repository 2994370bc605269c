-- Stores settings of the configuration and publishes that, as part of a change.
local function configure(undo, feeds, config, revision, history, name, conffeed, instance, fields)
  if #fields == 0 then
    return
  end
  -- The name is already in the set. If Redis refuses writes (a replica, full memory), this
  -- fails before anything has changed.
  redis.call('SADD', feeds, name)
  store_fields(undo, config, fields)
  local kept = tonumber(redis.call('HGET', config, 'history') or nil) or 0
  if not (kept > 0) then
    redis.call('UNLINK', revision, history)
  end
  redis.call('PUBLISH', conffeed, name .. '\0' .. instance)
end
