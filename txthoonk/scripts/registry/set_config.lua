-- Change the configuration of a feed; settings that are not given stay.
--
-- KEYS
--   1 feeds                  set      the registry
--   2 feed.config:[feed]     hash
--   3 feed.revision:[feed]   hash
--   4 feed.history:[feed]    stream
-- ARGV
--   1 name of the feed
--   2 channel conffeed
--   3 [instance] uuid of the caller
--   4 [type] in the given configuration, empty if it has none
--   5 [limited] settings: those given that some feed types do not have, as words: name, the types
--     that have it, the types that do not, with commas between types; ...
--   6.. configuration: field, value, field, value, ...
-- Reply: 1
-- Errors: NOFEED, WRONGFEEDTYPE, CONFIGNOTHASH
-- Events: conffeed if a value changes
-- Cost: O(1)

--- include feed_missing
--- include config_value
--- include fields_from
--- include change
--- include set_field
--- include store_fields
--- include type_mismatch
--- include setting_mismatch
--- include configure
local feeds, config, revision, history = unpack(KEYS)
local name, conffeed, instance, wanted, limited = unpack(ARGV, 1, 5)

local failure = feed_missing(feeds, name)
if not failure then
  local stored
  stored, failure = config_value(config, 'type')
  if stored and wanted ~= '' then
    failure = type_mismatch(config, name, wanted)
  end
  failure = failure or setting_mismatch(name, stored or wanted, limited)
end
return failure or change(function(undo)
  configure(undo, feeds, config, revision, history, name, conffeed, instance, fields_from(6))
  return 1
end)
