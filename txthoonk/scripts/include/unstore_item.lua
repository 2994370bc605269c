-- Takes back what store_item did: an item that is known has the score and the text again that it
-- had before.
local function unstore_item(steps, publishes, ids, items, id, known, before)
  restore_field(items, id, before, steps.stored)
  restore_member(ids, id, known, steps.placed)
  if steps.counted then
    undo_count(publishes, 1)
  end
end
