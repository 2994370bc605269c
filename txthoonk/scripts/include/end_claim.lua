-- Removes the claim and the progress of a job, as part of a change.
local function end_claim(undo, claimed, claims, progress, id)
  remove_member(undo, claimed, id)
  remove_field(undo, claims, id)
  remove_field(undo, progress, id)
end
