-- Publishes events in order, given as kind, channel, id, rest, ...: false where there is
-- no channel of the contract, or no rest. In the history's message a plus behind the
-- revision says that the next event is of the same change, unless log.apart says that each
-- is one of its own. It comes behind all changes but those of the history, and is an error
-- where the server refuses one of the events (an ACL may). A hash has been written before, or
-- the history is void: so that it can be made void is known.
local function announce(events, log)
  for index = 1, #events, 4 do
    local kind, channel, id, rest = unpack(events, index, index + 3)
    local message = rest and id .. '\0' .. rest or id
    local sent
    if log then
      log.top = log.top + 1
      sent = redis.pcall('PUBLISH', log.event, table.concat(
        {log.epoch, string.format(events[index + 4] and not log.apart and '%.0f+' or '%.0f', log.top), kind, message},
        '\0'))
    end
    if type(sent) ~= 'table' then
      if log then
        log.told = true
      end
      sent = channel and redis.pcall('PUBLISH', channel, message)
    end
    if type(sent) == 'table' then
      if log and log.told then
        -- Somebody may have heard of a revision that there will not be.
        redis.call('HSET', log.revision, '\0epoch', '')
      end
      error(sent)
    end
  end
end
