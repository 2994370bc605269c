-- Publish a new item at a place in the order.
--
-- KEYS
--   1 feeds                   set          the registry
--   2 feed.ids:[feed]         list
--   3 feed.items:[feed]       hash
--   4 feed.publishes:[feed]   string
--   5 feed.idincr:[feed]      string
-- ARGV
--   1 name of the feed
--   2 channel feed.publish:[feed]
--   3 channel feed.position:[feed]
--   4 item
--   5 position: begin:, :end, :id or id:
--   6 where that is: begin, end, before or after
--   7 the id that it is before or after, else empty
-- Reply: the new id
-- Errors: NOFEED, NOITEM
-- Events: feed.publish, feed.position
-- Cost: O(1) at the ends, O(n) before or after another item

--- include feed_missing
--- include item_missing
--- include place_missing
--- include undo_count
--- include announce
--- include insert_at
local feeds, ids, items, publishes, idincr = unpack(KEYS)
local name, publish, position, item, place, where, relative = unpack(ARGV)

local failure = feed_missing(feeds, name)
  or place_missing(ids, items, name, where, relative)
if failure then
  return failure
end
redis.call('HLEN', items)
redis.call('INCR', publishes)
local id, counted = nil, 0
repeat
  local count = redis.pcall('INCR', idincr)
  if type(count) == 'table' then
    undo_count(publishes, 1)
    return count
  end
  id, counted = redis.call('GET', idincr), counted + 1
  -- Somebody may have used the number without counting: his item must stay.
until redis.call('HEXISTS', items, id) == 0

failure = announce({publish, id .. '\0' .. item, position, id .. '\0' .. place})
if failure then
  undo_count(publishes, 1)
  undo_count(idincr, counted)
  return failure
end
redis.call('HSET', items, id, item)
insert_at(ids, where, relative, id)
return id
