-- Open a feed: create it if it does not exist, and configure it if a configuration is given.
--
-- KEYS
--   1 feeds                    set          the registry
--   2 feed.config:[feed]       hash
--   3 feed.results:[feed]      sorted set
--   4 feed.revision:[feed]     hash
--   5 feed.history:[feed]      stream
--   6 feed.items:[feed]        hash
--   7 feed.ids:[feed]          list or sorted set
--   8 feed.publishes:[feed]    string
--   9 feed.published:[feed]    sorted set
--   10 feed.claimed:[feed]     sorted set
--   11 feed.cancelled:[feed]   hash
--   12 feed.stalled:[feed]     set
--   13 feed.finishes:[feed]    string
--   14 feed.transit:[feed]     list
--   15 feed.delivering:[feed]  sorted set
--   16 feed.claims:[feed]      hash
--   17 feed.failures:[feed]    hash
--   18 feed.progress:[feed]    hash
--   19 feed.delayed:[feed]     sorted set
--   20 feed.later:[feed]       hash
--   21 feed.failed:[feed]      sorted set
--   22 feed.workers:[feed]     hash
--   23 feed.maintained:[feed]  string
--   24 feed.overdue:[feed]     string
--   25 feed.options:[feed]     hash
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
-- Cost: O(1); another thread frees what a deleted feed of that name left (UNLINK)

--- include config_value
--- include not_configured
--- include fields_from
--- include change
--- include set_field
--- include store_fields
--- include type_mismatch
--- include results_remain
--- include announce_created
--- include configure
local feeds, config, results, revision, history, items = unpack(KEYS)
local name, newfeed, instance, conffeed, wanted = unpack(ARGV, 1, 5)
local fields = fields_from(6)

local known = redis.call('SISMEMBER', feeds, name) == 1
local failure
if known then
  local kept = redis.call('EXISTS', config) == 0 and redis.pcall('HLEN', revision) ~= 0
  failure = not_configured(config, name, wanted ~= 'feed' or kept)
    or type_mismatch(config, name, wanted)
elseif results_remain(config, results) then
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
    announce_created(undo, feeds, config, items, name, newfeed, instance, fields)
  end
  return redis.call('HGETALL', config)
end)
