-- Returns since when the oldest job in line waits, if that is known. That job does not have to be
-- at the front; the search skips up to 1000 claimed jobs.
local function waiting_since(ids, items, published, claimed)
  local first = redis.call('LINDEX', ids, -1)
  local since = first and redis.call('ZSCORE', published, first)
  if not since then
    return false
  end
  local last = math.min(redis.call('ZCARD', claimed), 1000)
  local oldest = redis.call('ZRANGE', published, 0, last)
  local claims = redis.call('ZMSCORE', claimed, unpack(oldest))
  for index, id in ipairs(oldest) do
    if not claims[index] and redis.call('HEXISTS', items, id) == 1 then
      local score = redis.call('ZSCORE', published, id)
      return in_milliseconds(score) < in_milliseconds(since) and score or since
    end
  end
  return since
end
