-- Undoes the steps that write_claims has done.
local function unclaim(ids, claimed, claims, taken)
  if taken.step > 2 then
    redis.pcall('HDEL', claims, unpack(taken.ids))
  end
  if taken.step > 1 then
    redis.pcall('ZREM', claimed, unpack(taken.ids))
  end
  if taken.step > 0 and #taken.line > 0 then
    redis.pcall('RPUSH', ids, unpack(taken.line))
  end
end
