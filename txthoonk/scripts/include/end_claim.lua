-- Removes the claim of a job, and how far it was.
local function end_claim(claimed, claims, progress, id)
  redis.call('ZREM', claimed, id)
  redis.call('HDEL', claims, id)
  redis.call('HDEL', progress, id)
end
