-- Create a feed.
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
--   4.. configuration: field, value, field, value, ...
-- Reply: 1; 0 if kept results of a deleted feed of that name remain: then nothing is done, and
--   the caller repeats the call once clear has removed them
-- Errors: FEEDEXISTS, CONFIGNOTHASH
-- Events: newfeed
-- Cost: O(1)

--- include config_value
--- include fields_from
--- include change
--- include set_field
--- include store_fields
--- include announce_created
local feeds, config, revision, history, results = unpack(KEYS)
local name, newfeed, instance = ARGV[1], ARGV[2], ARGV[3]

if redis.call('SISMEMBER', feeds, name) == 1 then
  return redis.error_reply("FEEDEXISTS feed '" .. name .. "' already exists: open it, or delete it first")
end
if redis.call('ZCARD', results) > 0 then
  return 0
end
local _, failure = config_value(config, 'type')
return failure or change(function(undo)
  announce_created(undo, feeds, config, revision, history, name, newfeed, instance, fields_from(4))
  return 1
end)
