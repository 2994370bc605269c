-- Keeps the results of jobs that are finished, or forgets those of earlier jobs of the same
-- ids. Gives how many are kept.
local function keep_results(results, time, stored, most, age)
  -- Without an age they stay until there are too many: ten years are as good as for ever. An
  -- age that others have set may be any number; Redis takes no expiry beyond some.
  local longest = 1e12
  local configured = age and age > 0 and age * 1000 or most > 0 and 315360000000 or 0
  local keys, stale, entries, texts = {}, {}, {}, {}
  for index, one in ipairs(stored) do
    keys[index] = one.key
    stale[index] = one.wanted and redis.call('EXISTS', one.key) == 1
  end
  redis.call('DEL', unpack(keys))
  for index, one in ipairs(stored) do
    -- While the job was not finished, this is until when its result is wanted; unless a
    -- result of an earlier job of that id is kept still.
    local wanted = tonumber(one.wanted or nil)
    if wanted then
      redis.call('ZREM', results, one.id)
    end
    local keep = math.min(one.keep or configured, longest)
    local until_ = keep > 0 and time + keep or not one.told and not stale[index] and wanted or 0
    if one.result and until_ > time then
      redis.call('RPUSH', one.key, one.result, one.item or '')
      redis.call('PEXPIRE', one.key, math.ceil(math.min(until_ - time, longest)))
      texts[until_] = texts[until_] or string.format('%.17g', until_)
      entries[#entries + 1] = texts[until_]
      entries[#entries + 1] = one.id
      if most > 0 and wanted and wanted > time then
        -- Who wants it may not have read it yet: it must not be one too many before.
        redis.call('ZADD', results, string.format('%.17g', wanted), one.id .. '\0')
      end
    end
  end
  if #entries > 0 then
    redis.call('ZADD', results, unpack(entries))
    -- The index forgets what has expired, some at a time.
    local old = redis.call('ZRANGEBYSCORE', results, '-inf', string.format('%.17g', time), 'LIMIT', 0, 5 * #entries)
    if #old > 0 then
      redis.call('ZREM', results, unpack(old))
    end
  end
  return #entries
end
