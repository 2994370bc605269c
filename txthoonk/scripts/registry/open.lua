-- Open a feed: create it if it does not exist, and configure it if a configuration is given.
--
-- KEYS
--   1 feeds                  set      the registry
--   2 feed.config:[feed]     hash
--   3 feed.revision:[feed]   hash
--   4 feed.history:[feed]    stream
--   5 feed.results:[feed]    sorted set
-- ARGV
--   1 name of the feed
--   2 channel newfeed
--   3 [instance] uuid of the caller
--   4 channel conffeed
--   5 [type] that the feed must have
--   6.. configuration: field, value, field, value, ...
-- Reply: the configuration: field, value, field, value, ...; 0 if the feed does not exist and
--   kept results of a deleted one remain: see create
-- Errors: NOTCONFIGURED, WRONGFEEDTYPE, CONFIGNOTHASH
-- Events: newfeed if the feed did not exist, else conffeed if a value changes
-- Cost: O(1)

--- include config_value
--- include not_configured
--- include fields_from
--- include change
--- include set_field
--- include store_fields
--- include type_mismatch
--- include announce_created
--- include configure
local feeds, config, revision, history, results = unpack(KEYS)
local name, newfeed, instance, conffeed, wanted = unpack(ARGV, 1, 5)
local fields = fields_from(6)

local known = redis.call('SISMEMBER', feeds, name) == 1
local failure
if known then
  local kept = redis.call('EXISTS', config) == 0 and redis.pcall('HLEN', revision) ~= 0
  failure = not_configured(config, name, wanted ~= 'feed' or kept)
    or type_mismatch(config, name, wanted)
elseif redis.call('ZCARD', results) > 0 then
  return 0
else
  failure = select(2, config_value(config, 'type'))
  fields[#fields + 1] = 'type'
  fields[#fields + 1] = wanted
end
return failure or change(function(undo)
  redis.call('HGETALL', config)
  if known then
    configure(undo, feeds, config, revision, history, name, conffeed, instance, fields)
  else
    announce_created(undo, feeds, config, revision, history, name, newfeed, instance, fields)
  end
  return redis.call('HGETALL', config)
end)
