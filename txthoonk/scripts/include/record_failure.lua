-- Records the last failure of a job, as part of a change: the count, the time, and the error as
-- JSON.
local function record_failure(undo, failures, id, count, time, json)
  set_field(undo, failures, id, count .. ' ' .. string.format('%.17g', time) .. ' ' .. json)
end
