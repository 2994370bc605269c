-- Create a feed.
--
-- KEYS
--   1 feeds                  set      the registry
--   2 feed.config:[feed]     hash
--   3 feed.revision:[feed]   hash
--   4 feed.history:[feed]    stream
-- ARGV
--   1 name of the feed
--   2 channel newfeed
--   3 instance uuid of the caller
--   4.. configuration: field, value, field, value, ...
-- Reply: 1
-- Errors: FEEDEXISTS, CONFIGNOTHASH
-- Events: newfeed
-- Cost: O(1)

--- include config_value
--- include fields_from
--- include store_fields
--- include announce_created
local feeds, config, revision, history = unpack(KEYS)
local name, newfeed, instance = ARGV[1], ARGV[2], ARGV[3]

if redis.call('SISMEMBER', feeds, name) == 1 then
  return redis.error_reply("FEEDEXISTS feed '" .. name .. "' exists already: open it, or delete it first")
end
local _, failure = config_value(config, 'type')
return failure
  or announce_created(feeds, config, revision, history, name, newfeed, instance, fields_from(4))
  or 1
