-- Publishes messages in order, given as channel, message, channel, message, ...:
-- nothing, or the error of the first that the server refuses (an ACL may).
local function announce(messages)
  for index = 1, #messages, 2 do
    local sent = redis.pcall('PUBLISH', messages[index], messages[index + 1])
    if type(sent) == 'table' then
      return sent
    end
  end
end
