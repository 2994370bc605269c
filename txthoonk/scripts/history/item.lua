-- Read an item and its revision, as of one moment.
--
-- KEYS
--   1 feeds                   set          the registry
--   2 feed.config:[feed]      hash
--   3 feed.revision:[feed]    hash
--   4 feed.history:[feed]     stream
--   5 feed.publishes:[feed]   string
--   6 feed.items:[feed]       hash
-- ARGV
--   1 name of the feed
--   2 id
-- Reply: the item and its revision; nothing and 0 if there is no such item
-- Errors: NOFEED, NOTCONFIGURED, CONFIGNOTHASH, NOHISTORY
-- Events: none
-- Cost: O(1)

--- include whole
--- include feed_missing
--- include not_configured
--- include open_feed
--- include read_anyway
--- include lost_history
--- include open_history
--- include own_revision
--- include no_history
--- include first_write
--- include keep_history
local feeds, config, revision, history, publishes, items = unpack(KEYS)
local name, id = unpack(ARGV)

local failure, limit, _, kind = open_feed(feeds, config, name)
failure = read_anyway(failure) or lost_history(config, name, kind, revision)
if failure or not limit then
  return failure or no_history(name)
end
local log = open_history(limit, '', revision, history, publishes, items)
local item = redis.call('HGET', items, id)
local own = own_revision(log, item, id)
if log.void or log.server then
  first_write(feeds)
  failure = keep_history(log, {})
  if failure then
    return failure
  end
end
return {item, own}
