-- Keeps the results of finished jobs, and removes those of earlier jobs with the same ids.
-- Returns how many are kept.
local function keep_results(results, time, stored, most, age)
  -- Without an age, results stay until there are too many: ten years stand for forever. Another
  -- program may have set any age, but Redis limits expiry times.
  local longest = 1e12
  local configured = age and age > 0 and age * 1000 or most > 0 and 315360000000 or 0
  local unkept, entries, texts, lives = {}, {}, {}, {}
  for _, one in ipairs(stored) do
    -- For an unfinished job, the index has the time until which its result is wanted, unless
    -- it still has the kept result of an earlier job with that id.
    local wanted = tonumber(one.wanted or nil)
    if wanted then
      redis.call('ZREM', results, one.id)
    end
    local keep = math.min(one.keep or configured, longest)
    local until_ = keep > 0 and time + keep
      or wanted and not one.told and #one.earlier == 0 and wanted or 0
    if not one.result or until_ <= time then
      unkept[#unkept + 1] = one.key
    else
      if redis.pcall('RPUSH', one.key, one.result, one.item or '') ~= 2 then
        -- The key has the result of an earlier job with this id.
        redis.call('DEL', one.key)
        redis.call('RPUSH', one.key, one.result, one.item or '')
      end
      if not texts[until_] then
        texts[until_] = string.format('%.17g', until_)
        lives[until_] = string.format('%.0f', math.ceil(math.min(until_ - time, longest)))
      end
      redis.call('PEXPIRE', one.key, lives[until_])
      entries[#entries + 1] = texts[until_]
      entries[#entries + 1] = one.id
      if most > 0 and wanted and wanted > time then
        -- Until that time, a waiter may not have read it: it must not count as one too many.
        redis.call('ZADD', results, string.format('%.17g', wanted), one.id .. '\0')
      end
    end
  end
  if #unkept > 0 then
    redis.call('DEL', unpack(unkept))
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
