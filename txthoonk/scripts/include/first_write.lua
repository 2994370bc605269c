-- Removes what is never there. It only meets what would refuse the writes to come (a
-- replica) before anybody is told. A full memory refuses neither it nor, in the same
-- script, what follows: taking and freeing must go on then.
local function first_write(feeds)
  redis.call('SREM', feeds, '')
end
