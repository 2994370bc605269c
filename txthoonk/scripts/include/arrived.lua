-- Gives the item of an id that BLMOVE has brought, if it waits to be taken still:
-- in transit, or dated there by maintenance. False if not.
local function arrived(items, transit, delivering, id)
  local item = redis.call('HGET', items, id)
  return (redis.call('LPOS', transit, id) or redis.call('ZSCORE', delivering, id)) and item
end
