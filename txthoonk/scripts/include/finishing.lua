-- Checks which of some jobs, each given by six words, can be finished, and adds their events.
-- Returns the ids of those, the status of each job, the records of their results, and the scores
-- and entries of all claims.
local function finishing(name, items, claimed, claims, results, kept, words, finish, finished, serializer, events)
  local named, done, statuses, stored, seen = {}, {}, {}, {}, {}
  for at = 1, #words, 6 do
    named[#named + 1] = words[at]
  end
  if #named == 0 then
    return done, statuses, stored
  end
  local scores = redis.call('ZMSCORE', claimed, unpack(named))
  local entries = redis.call('HMGET', claims, unpack(named))
  local queries = redis.call('HMGET', items, unpack(named))
  local wanted = redis.call('ZMSCORE', results, unpack(named))
  for index, id in ipairs(named) do
    local token, keep, told, has, result = unpack(words, 6 * index - 4, 6 * index)
    local failure = not_claimed(name, id, token, not seen[id] and scores[index], entries[index])
      or has ~= '' and has ~= '*' and other_serializer(name, serializer, has)
    statuses[index] = failure and failure.err or 1
    if not failure then
      seen[id] = true
      done[#done + 1] = id
      if has ~= '' then
        add_event(events, 'finish', finish, id, result)
      end
      add_event(events, 'finished', finished, id, false)
      -- More than eight fields would cost twice as much.
      stored[#stored + 1] = {id = id, at = index, key = kept[index], result = has ~= '' and result,
        item = queries[index], keep = tonumber(keep), told = told == '1', wanted = wanted[index]}
    end
  end
  return done, statuses, stored, scores, entries
end
