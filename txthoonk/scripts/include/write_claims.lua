-- Takes the jobs that to_claim has found out of the line, and claims them, as a part of a
-- change. Shortening comes first: a full memory does not refuse it, nor then the rest.
local function write_claims(undo, ids, claimed, claims, taken)
  if #taken.line > 0 then
    trim_line(undo, ids, taken.line)
  end
  if #taken.scores > 0 then
    redis.call('ZADD', claimed, unpack(taken.scores))
    undo[#undo + 1] = function() redis.call('ZREM', claimed, unpack(taken.ids)) end
    redis.call('HSET', claims, unpack(taken.entries))
    undo[#undo + 1] = function() redis.call('HDEL', claims, unpack(taken.ids)) end
  end
end
