-- Returns whether an id has a state: in line, in transit, claimed or stalled.
local function has_state(ids, transit, claimed, stalled, id)
  return redis.call('ZSCORE', claimed, id)
    or redis.call('SISMEMBER', stalled, id) == 1
    or redis.call('LPOS', transit, id)
    or redis.call('LPOS', ids, id)
end
