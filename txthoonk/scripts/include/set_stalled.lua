-- Puts a job among the stalled ones; its failures are not counted any longer.
local function set_stalled(stalled, failed, cancelled, published, id, time)
  redis.call('HDEL', cancelled, id)
  redis.call('ZREM', published, id)
  redis.call('SADD', stalled, id)
  redis.call('ZADD', failed, string.format('%.17g', time), id)
end
