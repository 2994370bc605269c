-- Counts a publish and stores an item with its place, before anything is told; notes in steps
-- how far it came, for unstore_item. The count comes first: it is what a full memory refuses.
local function store_item(steps, publishes, ids, items, id, score, item, removes)
  redis.call('INCR', publishes)
  steps.counted = true
  if removes then
    -- No id has a NUL: this removes nothing. It meets what would refuse remove_items.
    redis.call('ZREM', ids, '\0')
    redis.call('HDEL', items, '\0')
  end
  redis.call('ZADD', ids, string.format('%.17g', score), id)
  steps.placed = true
  redis.call('HSET', items, id, item)
  steps.stored = true
end
