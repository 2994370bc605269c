-- Stores configuration values and says so: nothing, or the error to answer with,
-- after which nothing is changed.
local function configure(feeds, config, revision, history, name, conffeed, instance, fields)
  if #fields == 0 then
    return
  end
  -- The name is there already: this only meets what would refuse the write below
  -- (a replica, no memory), before anybody is told.
  redis.call('SADD', feeds, name)
  local sent = redis.pcall('PUBLISH', conffeed, name .. '\0' .. instance)
  if type(sent) == 'table' then
    return sent
  end
  store_fields(config, fields)
  local kept = tonumber(redis.call('HGET', config, 'history') or nil) or 0
  if not (kept > 0) then
    redis.call('UNLINK', revision, history)
  end
end
