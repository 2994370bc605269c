-- Takes the jobs that to_claim has found out of the line and claims them, as part of a change;
-- unclaim undoes it. LTRIM comes first: when memory is full, Redis allows it, and then the rest.
local function write_claims(ids, claimed, claims, taken)
  if #taken.line > 0 then
    redis.call('LTRIM', ids, 0, -#taken.line - 1)
    taken.step = 1
  end
  if #taken.scores > 0 then
    redis.call('ZADD', claimed, unpack(taken.scores))
    taken.step = 2
    redis.call('HSET', claims, unpack(taken.entries))
    taken.step = 3
  end
end
