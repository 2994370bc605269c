-- Reads the claim of one job, for not_claimed: its time, and who has it.
local function claim_of(claimed, claims, id)
  return redis.call('ZSCORE', claimed, id), redis.call('HGET', claims, id)
end
