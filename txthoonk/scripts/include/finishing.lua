-- Looks which of the jobs that ARGV names (from the 8th on, six words each) can be finished,
-- and adds the events: gives the ids of those, the status of each job, and what becomes of
-- their results.
local function finishing(name, items, claimed, claims, results, finish, finished, events)
  local named, done, statuses, stored = {}, {}, {}, {}
  for at = 8, #ARGV, 6 do
    named[#named + 1] = ARGV[at]
  end
  if #named == 0 then
    return done, statuses, stored
  end
  local scores, entries = redis.call('ZMSCORE', claimed, unpack(named)), redis.call('HMGET', claims, unpack(named))
  local queries, wanted = redis.call('HMGET', items, unpack(named)), redis.call('ZMSCORE', results, unpack(named))
  local seen = {}
  for index, id in ipairs(named) do
    local token, keep, told, has, result = unpack(ARGV, 6 * index + 3, 6 * index + 7)
    local failure = not_claimed(name, id, token, not seen[id] and scores[index], entries[index])
    statuses[index] = failure and failure.err or 1
    if not failure then
      seen[id] = true
      done[#done + 1] = id
      if has == '1' then
        for _, word in ipairs({'finish', finish, id, result}) do
          events[#events + 1] = word
        end
      end
      for _, word in ipairs({'finished', finished, id, false}) do
        events[#events + 1] = word
      end
      stored[#stored + 1] = {id = id, key = KEYS[15 + index], result = has == '1' and result,
        query = queries[index] or '', keep = tonumber(keep), told = told == '1', wanted = wanted[index]}
    end
  end
  return done, statuses, stored
end
