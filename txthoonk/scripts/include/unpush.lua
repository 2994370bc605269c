-- Undoes LPUSH or RPUSH of ids to a list.
local function unpush(push, key, ids)
  for index = #ids, 1, -1 do
    redis.call('LREM', key, push == 'LPUSH' and 1 or -1, ids[index])
  end
end
