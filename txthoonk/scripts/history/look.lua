-- Read the position of a feed's history, and the entries after a given position.
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
--   2 the epoch of the position, empty for the present one
--   3 the revision of the position; empty for the oldest one that is kept
--   4 the most entries to reply; fewer if they are big
-- Reply: whether the position is valid (ok, or recreated, foreign, lost, trimmed; or off if
--   the feed keeps no history), the feed's type and its serializer, the present epoch and
--   revision, and if the position is ok, the entries after it: each a revision and the
--   stream's fields
-- Errors: NOFEED, NOTCONFIGURED, CONFIGNOTHASH
-- Events: none
-- Cost: O(m) for m entries

--- include whole
--- include feed_missing
--- include not_configured
--- include open_feed
--- include read_anyway
--- include lost_history
--- include open_history
--- include judge
--- include some_entries
--- include first_write
--- include keep_history
local feeds, config, revision, history, publishes, items = unpack(KEYS)
local name, epoch, since, most = unpack(ARGV)

local failure, limit, serializer, kind = open_feed(feeds, config, name, 'serializer')
failure = read_anyway(failure) or lost_history(config, name, kind, revision)
if failure or not limit then
  return failure or {'off', kind or false, serializer or false}
end
local queue = kind == 'queue' or kind == 'pyqueue'
local log = open_history(limit, '', revision, history, publishes, not queue and items)
if log.void or log.server then
  first_write(feeds)
  failure = keep_history(log, {})
  if failure then
    return failure
  end
end
local verdict = since == '' and 'ok' or judge(log, epoch, tonumber(since))
local entries = {}
local first = since == '' and '-' or string.format('%.0f', since + 1)
if verdict == 'ok' then
  entries = some_entries(history, first, string.format('%.0f', log.top), tonumber(most))
end
if entries[1] and first ~= '-' and entries[1][1] ~= first then
  verdict = 'trimmed'
end
if verdict == 'ok' and #entries == 0 and since ~= '' and tonumber(since) < log.top and tonumber(most) > 0 then
  verdict = 'trimmed'
end
return {verdict, kind or false, serializer or false, log.epoch, string.format('%.0f', log.top),
  verdict == 'ok' and entries or {}}
