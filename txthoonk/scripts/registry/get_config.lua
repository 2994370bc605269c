-- Read the configuration of a feed.
--
-- KEYS
--   1 feeds                 set   the registry
--   2 feed.config:[feed]    hash
-- ARGV
--   1 name of the feed
-- Reply: field, value, field, value, ...
-- Errors: NOFEED, CONFIGNOTHASH
-- Events: none
-- Cost: O(1)

--- include feed_missing
--- include config_value
local feeds, config = KEYS[1], KEYS[2]

local failure = feed_missing(feeds, ARGV[1]) or select(2, config_value(config, 'type'))
return failure or redis.call('HGETALL', config)
