-- Restarts the clock of a claim, and keeps whose it is, if that is known: both or none, for a
-- claim that is newer than what is known of it is another's.
local function renew_claim(claimed, claims, id, score, entry, time)
  local token, since = string.match(entry or '', '^(%S+) (%S+)$')
  since = tonumber(since or nil)
  local known = since and tonumber(score) <= since
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
