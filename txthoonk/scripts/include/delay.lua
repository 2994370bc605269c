-- Puts a job aside until it is due; then it goes to an end of the line: LPUSH or RPUSH.
local function delay(delayed, later, id, item, due, push)
  redis.call('ZADD', delayed, string.format('%.17g', due), id)
  redis.call('HSET', later, id, string.sub(push, 1, 1) .. item)
end
