-- Reads the claim of a job, for not_claimed: its time and its entry.
local function claim_of(claimed, claims, id)
  return redis.call('ZSCORE', claimed, id), redis.call('HGET', claims, id)
end
