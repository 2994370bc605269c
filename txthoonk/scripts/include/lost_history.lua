-- Gives the error to answer with if a feed without a configuration has kept a history, else
-- nothing.
local function lost_history(config, name, type, revision)
  if not type and redis.pcall('HLEN', revision) ~= 0 then
    return not_configured(config, name, true)
  end
end
