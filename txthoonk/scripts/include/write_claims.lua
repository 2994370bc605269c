-- Takes the jobs that to_claim has found out of the line, and claims them.
local function write_claims(ids, claimed, claims, taken)
  if taken.looked > 0 then
    redis.call('LTRIM', ids, 0, -taken.looked - 1)
  end
  if #taken.scores > 0 then
    redis.call('ZADD', claimed, unpack(taken.scores))
    redis.call('HSET', claims, unpack(taken.entries))
  end
end
