-- Read the configuration of a feed.
--
-- KEYS
--   1 feeds                 set   the registry
--   2 feed.config:[feed]    hash
-- ARGV
--   1 name of the feed
-- Reply: field, value, field, value, ...
-- Errors: NOFEED, NOTCONFIGURED, CONFIGNOTHASH
-- Events: none
-- Cost: O(1)

--- include feed_missing
--- include not_configured
--- include config_value
local feeds, config = KEYS[1], KEYS[2]

local name = ARGV[1]

local failure = feed_missing(feeds, name) or select(2, config_value(config, 'type'))
  or not_configured(config, name)
return failure or redis.call('HGETALL', config)
