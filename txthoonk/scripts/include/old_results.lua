-- Returns the ids of the oldest results in excess of most, up to count. An entry of an unfinished
-- job only says that its result is wanted, and does not count; nor does a result that is still
-- wanted, by the entry of its id and a NUL.
local function old_results(results, items, most, count)
  local over = redis.call('ZCARD', results) - most
  if over <= 0 or count <= 0 then
    return {}
  end
  local time = now()
  -- Results are wanted for some seconds only: entries that end later need no check.
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
