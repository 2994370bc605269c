-- Returns the error to reply if the configuration of a feed is gone, else nothing. All feeds have
-- one, except that a plain feed of txthoonk 0.1 may have none. So it is gone if the feed must be
-- of another type, or has kept a history, or if the server evicts keys.
local function not_configured(config, name, configured)
  local count = redis.pcall('HLEN', config)
  if type(count) == 'table' and not string.find(count.err, 'WRONGTYPE', 1, true) then
    return count
  end
  if count ~= 0 then
    return
  end
  local memory = redis.pcall('INFO', 'memory')  -- an ACL may forbid it
  local policy = type(memory) == 'string' and string.match(memory, 'maxmemory_policy:(%S+)')
  if configured or (policy and policy ~= 'noeviction') then
    return redis.error_reply("NOTCONFIGURED the configuration of feed '" .. name .. "' is gone "
      .. "(maxmemory-policy is " .. (policy or 'not known') .. "): set it again with set_config, including its type")
  end
end
