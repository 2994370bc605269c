-- Takes back that a member of a sorted set was added, if it was: gives it the score that it
-- had, if any.
local function restore_member(key, member, before, done)
  if done and before then
    redis.call('ZADD', key, before, member)
  elseif done then
    redis.call('ZREM', key, member)
  end
end
