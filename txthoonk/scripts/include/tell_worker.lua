-- Stores the record of a live worker with the time before it, or removes it if the worker ends.
-- Also removes the records of workers that gave no sign of life for long.
local function tell_worker(workers, worker, text, time, most)
  local all = redis.call('HGETALL', workers)
  if text == '' then
    redis.call('HDEL', workers, worker)
  else
    redis.call('HSET', workers, worker, string.format('%.17g', time) .. ' ' .. text)
  end
  for index = 1, #all, 2 do
    local age = time - (tonumber(string.match(all[index + 1], '^%S+') or nil) or 0)
    -- A time that is later than now was stored before the server's clock was set back.
    if all[index] ~= worker and not (math.abs(age) <= most) then
      redis.call('HDEL', workers, all[index])
    end
  end
end
