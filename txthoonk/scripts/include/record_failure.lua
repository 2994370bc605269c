-- Records the last failure of a job: how many there were, when it was, and the error as JSON.
local function record_failure(failures, id, count, time, json)
  redis.call('HSET', failures, id, count .. ' ' .. string.format('%.17g', time) .. ' ' .. json)
end
