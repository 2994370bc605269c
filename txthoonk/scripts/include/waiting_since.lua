-- Gives since when the one is there that waits in line for longest, as far as that is known. It
-- need not be at the front; of those that are claimed, up to 1000 are looked at to find it.
local function waiting_since(ids, items, published, claimed)
  local first = redis.call('LINDEX', ids, -1)
  local since = first and redis.call('ZSCORE', published, first)
  local last = math.min(redis.call('ZCARD', claimed), 1000)
  local oldest = since and redis.call('ZRANGE', published, 0, last, 'WITHSCORES') or {}
  for at = 1, #oldest, 2 do
    local id, score = oldest[at], oldest[at + 1]
    if tonumber(score) >= tonumber(since) then
      return since
    elseif not redis.call('ZSCORE', claimed, id) and redis.call('HEXISTS', items, id) == 1 then
      return score
    end
  end
  return since
end
