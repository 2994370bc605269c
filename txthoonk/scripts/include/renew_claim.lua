-- Restarts the timeout of a claim. If the entry belongs to this claim, it gets the new time, too:
-- a claim that is newer than its entry would count as that of another implementation.
local function renew_claim(claimed, claims, id, score, entry, time)
  local token, since = string.match(entry or '', '^(%S+) (%S+)$')
  since = tonumber(since or nil)
  local known = since and in_milliseconds(score) <= in_milliseconds(since)
  if known then
    redis.call('HSET', claims, id, token .. ' ' .. time)
  end
  local added = redis.pcall('ZADD', claimed, time, id)
  if type(added) == 'table' then
    if known then
      redis.call('HSET', claims, id, entry)
    end
    redis.call('ZADD', claimed, time, id)
  end
end
