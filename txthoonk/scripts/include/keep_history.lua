-- Stores announced events and the new position of the history; call it last in a change. If Redis
-- refuses that, the history becomes void and the next change begins a new one. It then returns the
-- error, which a caller that has published the events can ignore.
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
    -- This fails if another program has written to the stream.
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
    -- No reader needs positions from epochs of long ago.
    local eras = string.sub(log.eras, -2000)
    write('HSET', log.revision, '\0epoch', log.epoch, '\0server', log.server,
      '\0base', string.format('%.0f', log.base), '\0cause', log.cause or '',
      '\0eras', #eras < #log.eras and string.match(eras, ' (.*)') or eras)
  end
  if broken then
    write('HSET', log.revision, '\0epoch', '')
  end
  -- Setting a new field of a table costs more than this check.
  if log.void or log.server or log.voided then
    log.void, log.server, log.voided = false, false, false
  end
  log.told, log.stored = false, log.epoch
  return broken
end
