-- Delays a job, as part of a change. When it is due, it goes to an end of the line: LPUSH or
-- RPUSH. Returns whether it is due before all other delayed jobs.
local function delay(undo, delayed, later, id, item, due, push)
  local first = redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2]
  set_field(undo, later, id, string.sub(push, 1, 1) .. item)
  set_member(undo, delayed, id, string.format('%.17g', due))
  return not (first and tonumber(first) <= due)
end
