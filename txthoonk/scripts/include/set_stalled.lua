-- Adds a job to the stalled ones, and removes its count of failures, as part of a change.
local function set_stalled(undo, stalled, failed, cancelled, published, id, time)
  remove_field(undo, cancelled, id)
  remove_member(undo, published, id)
  if redis.call('SADD', stalled, id) == 1 then
    undo[#undo + 1] = function() redis.call('SREM', stalled, id) end
  end
  set_member(undo, failed, id, string.format('%.17g', time))
end
