-- Lists the oldest results, as many as there are too many, and up to count. Those of jobs that
-- are not finished are wanted only: they do not count, nor do those that are wanted still, as
-- the entry of the id and a NUL says.
local function old_results(results, items, most, count)
  local over = redis.call('ZCARD', results) - most
  if over <= 0 or count <= 0 then
    return {}
  end
  local time = now()
  -- They are wanted for some seconds only: what is kept for longer need not be looked at.
  if redis.call('ZCOUNT', results, '-inf', string.format('%.17g', time + 60000)) == 0 then
    return redis.call('ZRANGE', results, 0, math.min(over, count) - 1)
  end
  local ids, notes, old = redis.call('ZRANGE', results, 0, math.min(over, count) + 199), {}, {}
  for index, id in ipairs(ids) do
    notes[index] = id .. '\0'
  end
  local there, wanted = redis.call('HMGET', items, unpack(ids)), redis.call('ZMSCORE', results, unpack(notes))
  for index, id in ipairs(ids) do
    if there[index] or string.sub(id, -1) == '\0' or wanted[index] and tonumber(wanted[index]) > time then
      over = over - 1
    else
      old[#old + 1] = id
    end
  end
  return {unpack(old, 1, math.max(0, math.min(over, count)))}
end
