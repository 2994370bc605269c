-- Lists ids of jobs whose results are kept, up to 500: those that expire first.
local function first_results(results)
  local ids = redis.pcall('ZRANGE', results, 0, 499)
  -- A foreign key in its place indexes nothing.
  return ids.err and {} or ids
end
