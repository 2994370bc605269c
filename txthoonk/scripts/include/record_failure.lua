-- Records the last failure of a job, as a part of a change: how many there were, when it was,
-- and the error as JSON.
local function record_failure(undo, failures, id, count, time, json)
  set_field(undo, failures, id, count .. ' ' .. string.format('%.17g', time) .. ' ' .. json)
end
