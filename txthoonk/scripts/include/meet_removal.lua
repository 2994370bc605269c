-- Fails if Redis would refuse remove_items. No id has a NUL, so this removes nothing.
local function meet_removal(ids, items)
  redis.call('ZREM', ids, '\0')
  redis.call('HDEL', items, '\0')
end
