-- Notes that a worker lives, with the time before what it tells of itself, or that it ends.
-- Those of whom nothing was heard for long are forgotten.
local function tell_worker(workers, worker, text, time, most)
  local all = redis.call('HGETALL', workers)
  if text == '' then
    redis.call('HDEL', workers, worker)
  else
    redis.call('HSET', workers, worker, string.format('%.17g', time) .. ' ' .. text)
  end
  for index = 1, #all, 2 do
    local age = time - (tonumber(string.match(all[index + 1], '^%S+') or nil) or 0)
    -- One of later than now is of before the server's clock stepped back.
    if all[index] ~= worker and not (math.abs(age) <= most) then
      redis.call('HDEL', workers, all[index])
    end
  end
end
