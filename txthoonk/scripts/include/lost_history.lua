-- Returns the error to reply if a feed has a history but no configuration, else nothing.
local function lost_history(config, name, type, revision)
  if not type and redis.pcall('HLEN', revision) ~= 0 then
    return not_configured(config, name, true)
  end
end
