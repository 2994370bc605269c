-- Stores the settings whose values differ from the stored ones, and publishes conffeed if there
-- are any, as part of a change.
local function configure(undo, feeds, config, revision, history, name, conffeed, instance, fields)
  local changed = {}
  for index = 1, #fields, 2 do
    if redis.call('HGET', config, fields[index]) ~= fields[index + 1] then
      changed[#changed + 1], changed[#changed + 2] = fields[index], fields[index + 1]
    end
  end
  if #changed == 0 then
    return
  end
  -- The name is already in the set. If Redis refuses writes (a replica, full memory), this
  -- fails before anything has changed.
  redis.call('SADD', feeds, name)
  store_fields(undo, config, changed)
  local kept = tonumber(redis.call('HGET', config, 'history') or nil) or 0
  if not (kept > 0) then
    redis.call('UNLINK', revision, history)
  end
  redis.call('PUBLISH', conffeed, name .. '\0' .. instance)
end
