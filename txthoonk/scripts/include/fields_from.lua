-- Returns the elements of ARGV from an index on.
local function fields_from(first)
  local fields = {}
  for index = first, #ARGV do
    fields[#fields + 1] = ARGV[index]
  end
  return fields
end
