-- Read the order of a feed, its first items and the position of its history, as of one
-- moment. If it keeps no history, a message marks that moment for the reader's subscriber.
--
-- KEYS
--   1 feeds                   set                    the registry
--   2 feed.config:[feed]      hash
--   3 feed.revision:[feed]    hash
--   4 feed.history:[feed]     stream
--   5 feed.publishes:[feed]   string
--   6 feed.items:[feed]       hash
--   7 feed.ids:[feed]         sorted set or list
-- ARGV
--   1 name of the feed
--   2 the most items to reply; fewer if they are big
--   3 the reader's own channel
--   4 message
--   5 1 to publish the message in any case
-- Reply: ok (or off if the feed keeps no history, neither if its type has no order), its type
--   and its serializer, the present epoch and revision if it has a history, the ids in their
--   order, up to 5000, and the items of the first ids
-- Errors: NOFEED, NOTCONFIGURED, CONFIGNOTHASH
-- Events: none; the message, if there is no history
-- Cost: O(m) for m items

--- include whole
--- include feed_missing
--- include not_configured
--- include open_feed
--- include read_anyway
--- include lost_history
--- include open_history
--- include some_items
--- include first_write
--- include keep_history
local feeds, config, revision, history, publishes, items, ids = unpack(KEYS)
local name, most, channel, message, always = unpack(ARGV)

local failure, limit, serializer, kind = open_feed(feeds, config, name, 'serializer')
failure = read_anyway(failure) or lost_history(config, name, kind, revision)
if failure then
  return failure
end
local sorted = kind == 'sorted_feed'
if not sorted and kind and kind ~= 'feed' then
  return {'neither', kind, serializer or false}
end
local order = redis.call(sorted and 'LRANGE' or 'ZRANGE', ids, 0, 4999)
local contents = some_items(items, order, tonumber(most))
local log = open_history(limit, '', revision, history, publishes, items)
if log and (log.void or log.server) then
  first_write(feeds)
  failure = keep_history(log, {})
  if failure then
    return failure
  end
end
if not log or always == '1' then
  redis.call('PUBLISH', channel, message)
end
return {log and 'ok' or 'off', kind or false, serializer or false, log and log.epoch,
  log and string.format('%.0f', log.top), order, contents}
