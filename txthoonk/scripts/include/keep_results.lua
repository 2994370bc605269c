-- Keeps the results of finished jobs, and removes those of earlier jobs with the same ids.
-- Returns how many are kept.
local function keep_results(results, time, stored, most, age)
  -- Without an age, results stay until there are too many: ten years stand for forever. Another
  -- program may have set any age, but Redis limits expiry times.
  local longest = 1e12
  local configured = age and age > 0 and age * 1000 or most > 0 and 315360000000 or 0
  local keys, stale, entries, texts = {}, {}, {}, {}
  for index, one in ipairs(stored) do
    keys[index] = one.key
    stale[index] = one.wanted and redis.call('EXISTS', one.key) == 1
  end
  redis.call('DEL', unpack(keys))
  for index, one in ipairs(stored) do
    -- For an unfinished job, the index has the time until which its result is wanted, unless
    -- it still has the kept result of an earlier job with that id.
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
        -- Until that time, a waiter may not have read it: it must not count as one too many.
        redis.call('ZADD', results, string.format('%.17g', wanted), one.id .. '\0')
      end
    end
  end
  if #entries > 0 then
    redis.call('ZADD', results, unpack(entries))
    -- Remove some expired entries from the index.
    local old = redis.call('ZRANGEBYSCORE', results, '-inf', string.format('%.17g', time), 'LIMIT', 0, 5 * #entries)
    if #old > 0 then
      redis.call('ZREM', results, unpack(old))
    end
  end
  return #entries
end
