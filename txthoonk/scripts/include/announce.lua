-- Publishes events in order, given as kind, channel, id, rest, ...; channel is false if the
-- contract has none, rest if there is none. In the history's message, a plus after the revision
-- means that the next event belongs to the same change; if log.apart is set, each event is a
-- change of its own. Call it after all writes except those of the history. It raises an error if
-- the server refuses an event (an ACL may). The script must have written a hash before, or have
-- voided the history, so that voiding it here cannot be refused.
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
        -- A subscriber may have seen a revision that will not exist.
        redis.call('HSET', log.revision, '\0epoch', '')
      end
      error(sent)
    end
  end
end
