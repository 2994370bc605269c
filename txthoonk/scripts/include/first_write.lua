-- Removes a member that never exists. If Redis refuses writes (a replica), this fails before any
-- event is published. When memory is full, Redis allows it and, in the same script, all writes
-- after it: taking and removing items must still work then.
local function first_write(feeds)
  redis.call('SREM', feeds, '')
end
