-- Reads one setting of the configuration: returns the value or false, and the error to reply
-- if the configuration cannot be read.
local function config_value(config, field)
  local value = redis.pcall('HGET', config, field)
  if type(value) == 'table' and not string.find(value.err, 'WRONGTYPE', 1, true) then
    return false, value
  elseif type(value) == 'table' then
    return false, redis.error_reply('CONFIGNOTHASH ' .. config .. ' is not a hash '
      .. '(thoonk.js 0.2 kept a JSON string there): delete the feed, or store its '
      .. 'configuration as a hash')
  end
  return value
end
