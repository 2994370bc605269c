-- Undoes INCR or INCRBY of a counter.
local function undo_count(counter, by)
  if redis.call('DECRBY', counter, by) == 0 then
    redis.call('DEL', counter)
  end
end
