-- Restarts the clock of a claim, and keeps whose it is, if that is known.
local function renew_claim(claimed, claims, id, score, entry, time)
  local token, since = string.match(entry or '', '^(%S+) (%S+)$')
  redis.call('ZADD', claimed, time, id)
  since = tonumber(since or nil)
  if since and tonumber(score) <= since then
    redis.call('HSET', claims, id, token .. ' ' .. time)
  end
end
