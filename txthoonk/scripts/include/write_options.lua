-- Stores the options of new jobs, as part of a change; feed.options has for each job the time at
-- which it expires, in milliseconds since 1970, 0 for never, and the rest as it is given. If the
-- jobs have none, removes those that earlier jobs with these ids have left: another implementation
-- that ends a job keeps them.
local function write_options(undo, options, given, ids, time)
  local before = redis.call('HMGET', options, unpack(ids))
  redis.call('HDEL', options, unpack(ids))
  undo[#undo + 1] = function()
    redis.call('HDEL', options, unpack(ids))
    for index, id in ipairs(ids) do
      if before[index] then
        redis.call('HSET', options, id, before[index])
      end
    end
  end
  if given ~= '' then
    local wait, rest = string.match(given, '^(%d+)( .*)$')
    local words, entry = {}, string.format('%.0f', tonumber(wait) > 0 and time + wait or 0) .. rest
    for index, id in ipairs(ids) do
      words[2 * index - 1], words[2 * index] = id, entry
    end
    redis.call('HSET', options, unpack(words))
  end
end
