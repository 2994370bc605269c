-- Lists ids of jobs whose results are kept, up to 500: those that expire first.
local function first_results(results)
  local ids = redis.pcall('ZRANGE', results, 0, 499)
  if ids.err and not string.find(ids.err, 'WRONGTYPE', 1, true) then
    redis.call('ZRANGE', results, 0, 0)
  end
  -- A foreign key in its place indexes nothing.
  return ids.err and {} or ids
end
