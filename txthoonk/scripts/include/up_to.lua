-- Returns the ranges of scores that are times up to one in milliseconds: see in_milliseconds.
local function up_to(time)
  local function text(number)
    return string.format('%.17g', number)
  end
  return {{'-inf', text(time / 1000)}, {'1e11', text(time)}, {'1e14', text(time * 1000)}}
end
