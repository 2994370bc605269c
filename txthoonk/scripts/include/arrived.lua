-- Returns the item of an id that BLMOVE has moved, if the id still waits in transit, or in
-- delivering, where maintenance puts it; or of one that BRPOP has taken. Otherwise false.
local function arrived(items, transit, delivering, id, popped)
  local item = redis.call('HGET', items, id)
  return (popped or redis.call('LPOS', transit, id) or redis.call('ZSCORE', delivering, id)) and item
end
