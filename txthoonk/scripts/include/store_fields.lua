-- Stores field, value, field, value, ... in a hash, as part of a change.
local function store_fields(undo, key, fields)
  for index = 1, #fields, 2 do
    set_field(undo, key, fields[index], fields[index + 1])
  end
end
