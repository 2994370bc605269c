-- Returns up to 500 ids of jobs whose results are kept, those that expire first.
local function first_results(results)
  local ids = redis.pcall('ZRANGE', results, 0, 499)
  if ids.err and not string.find(ids.err, 'WRONGTYPE', 1, true) then
    redis.call('ZRANGE', results, 0, 0)
  end
  -- If the key has another type, it is no index of results.
  return ids.err and {} or ids
end
