-- Reads the position of a feed's history before a change; returns a table, false if the feed
-- keeps none. If the counters show that a program without history has changed the feed, all
-- earlier revisions are void and a new epoch begins. If the server is another one than before, a
-- new epoch begins, too, but the revisions that this server has stay valid.
local function open_history(limit, event, revision, history, publishes, items)
  if not limit then
    return false
  end
  redis.call('XLEN', history)
  local state = redis.call('HMGET', revision, '\0epoch', '\0revision', '\0publishes',
    '\0length', '\0server', '\0base', '\0eras', '\0cause')
  local log = {limit = limit, event = event, revision = revision, history = history,
    publishes = publishes, items = items, epoch = state[1], stored = state[1], top = whole(state[2]),
    base = whole(state[6]), eras = state[7] or '', cause = state[8]}
  local count = tonumber(redis.call('GET', publishes) or 0)
  local length = items and redis.call('HLEN', items) or 0
  local known = state[1] and state[1] ~= ''
  -- Another program may have stored anything. No feed reaches such numbers; readers take 15 digits.
  if known and (not string.find(state[2] or '', '^%d+$') or log.top > 9e14 or log.base > log.top) then
    known, log.top = false, 0
  end
  if not known or count ~= tonumber(state[3]) or length ~= tonumber(state[4]) then
    log.cause = state[1] and 'foreign' or 'recreated'
    -- The break takes a revision, unless the feed is still empty: 0 is before all items.
    if log.top > 0 or count > 0 or length > 0 then
      log.top = log.top + 1
    end
    log.void, log.base, log.eras = true, log.top, ''
  end
  local server = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
  if log.void or server ~= state[5] then
    local time = redis.call('TIME')
    log.server = server
    log.epoch = string.sub(redis.sha1hex(server .. revision .. time[1] .. ' ' .. time[2]), 1, 16)
    log.eras = log.eras .. string.format('%s:%.0f ', log.epoch, log.top)
  end
  return log
end
