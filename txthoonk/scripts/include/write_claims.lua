-- Takes the jobs that to_claim has found out of the line, and claims them, as a part of a
-- change: unclaim takes it back. Shortening comes first: a full memory does not refuse it, nor
-- then the rest.
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
