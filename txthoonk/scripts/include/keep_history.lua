-- Stores events that were announced, and where the history of the feed stands then, as
-- the last thing that a change does. Where that is refused, the history is void, and the next
-- change begins it anew: gives the error then, which who has told the events may leave alone.
local function keep_history(log, events)
  if not log then
    return
  end
  local broken
  local function write(...)
    local written = redis.pcall(...)
    broken = broken or type(written) == 'table' and written or nil
  end
  if log.void then
    write('UNLINK', log.revision, log.history)
  end
  local revision, state = log.top - #events / 4, {'HSET', log.revision}
  for index = 1, #events, 4 do
    local kind, _, id, rest = unpack(events, index, index + 3)
    revision = revision + 1
    local number = string.format('%.0f', revision)
    local words = {'XADD', log.history, 'MAXLEN', '~', log.limit, number .. '-0', 'kind', kind, 'id', id}
    if rest then
      words[#words + 1] = kind == 'position' and 'position' or 'item'
      words[#words + 1] = rest
    end
    if events[index + 4] and not log.apart then
      words[#words + 1] = 'more'
      words[#words + 1] = '1'
    end
    -- Somebody else may have written there.
    write(unpack(words))
    if kind == 'publish' or kind == 'edit' then
      state[#state + 1] = id
      state[#state + 1] = number
    elseif kind == 'retract' or kind == 'finished' then
      write('HDEL', log.revision, id)
    end
  end
  local last = {
    '\0revision', string.format('%.0f', log.top),
    '\0publishes', redis.call('GET', log.publishes) or 0,
    '\0length', log.items and redis.call('HLEN', log.items) or 0}
  for _, word in ipairs(last) do
    state[#state + 1] = word
  end
  if log.voided then
    state[#state + 1], state[#state + 2] = '\0epoch', log.epoch
  end
  write(unpack(state))
  if log.server then
    -- Positions in eras of long ago are too old to be of use.
    local eras = string.sub(log.eras, -2000)
    write('HSET', log.revision, '\0epoch', log.epoch, '\0server', log.server,
      '\0base', string.format('%.0f', log.base), '\0cause', log.cause or '',
      '\0eras', #eras < #log.eras and string.match(eras, ' (.*)') or eras)
  end
  if broken then
    write('HSET', log.revision, '\0epoch', '')
  end
  -- A new field costs more than a look.
  if log.void or log.server or log.voided then
    log.void, log.server, log.voided = false, false, false
  end
  log.told, log.stored = false, log.epoch
  return broken
end
