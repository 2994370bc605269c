-- Inserts an id into a list: at its 'begin' or 'end', or 'before' or 'after' a relative.
local function insert_at(ids, where, relative, id)
  if where == 'begin' then
    redis.call('LPUSH', ids, id)
  elseif where == 'end' then
    redis.call('RPUSH', ids, id)
  else
    redis.call('LINSERT', ids, where, relative, id)
  end
end
