-- Gives since when the one is there that waits in line for longest, as far as that is known. It
-- need not be at the front; of those that are claimed, up to 1000 are looked at to find it.
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
      return tonumber(score) < tonumber(since) and score or since
    end
  end
  return since
end
