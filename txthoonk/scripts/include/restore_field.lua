-- Takes back that a field of a hash was set, if it was: gives it the value that it had, if any.
local function restore_field(key, field, before, done)
  if done and before then
    redis.call('HSET', key, field, before)
  elseif done then
    redis.call('HDEL', key, field)
  end
end
