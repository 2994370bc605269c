-- Takes entries off the front of a line, which is a list's right end, as a part of a change:
-- those that it has there, the front first.
local function trim_line(undo, key, line)
  redis.call('LTRIM', key, 0, -#line - 1)
  undo[#undo + 1] = function()
    for index = #line, 1, -1 do
      redis.call('RPUSH', key, line[index])
    end
  end
end
