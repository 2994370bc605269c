-- Undoes the steps that a publish has done: a known item gets its earlier score and text back.
local function unstore_item(step, publishes, ids, items, id, known, before)
  if step > 2 and before then
    redis.call('HSET', items, id, before)
  elseif step > 2 then
    redis.call('HDEL', items, id)
  end
  if step > 1 and known then
    redis.call('ZADD', ids, known, id)
  elseif step > 1 then
    redis.call('ZREM', ids, id)
  end
  if step > 0 then
    undo_count(publishes, 1)
  end
end
