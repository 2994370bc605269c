-- Create a feed.
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
--   4.. configuration: field, value, field, value, ...
-- Reply: 1; 0 if kept results of a deleted feed of that name remain: then nothing is done, and
--   the caller repeats the call once clear has removed them
-- Errors: FEEDEXISTS, CONFIGNOTHASH
-- Events: newfeed
-- Cost: O(1); another thread frees what a deleted feed of that name left (UNLINK)

--- include config_value
--- include fields_from
--- include change
--- include set_field
--- include store_fields
--- include results_remain
--- include announce_created
local feeds, config, results, _, _, items = unpack(KEYS)
local name, newfeed, instance = ARGV[1], ARGV[2], ARGV[3]

if redis.call('SISMEMBER', feeds, name) == 1 then
  return redis.error_reply("FEEDEXISTS feed '" .. name .. "' already exists: open it, or delete it first")
end
if results_remain(config, results) then
  return 0
end
local _, failure = config_value(config, 'type')
return failure or change(function(undo)
  announce_created(undo, feeds, config, items, name, newfeed, instance, fields_from(4))
  return 1
end)
