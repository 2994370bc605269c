-- Returns ok if a reader can continue from its position, else the reason why not. A position
-- without an epoch counts as one of the present epoch.
local function judge(log, epoch, since)
  local known, before = epoch == '', nil
  for era, start in string.gmatch(log.eras, '(%x+):(%d+) ') do
    if before and before == epoch and since > tonumber(start) then
      return 'lost'
    end
    before = era
    known = known or era == epoch
  end
  if not known then
    return log.cause
  end
  return since > log.top and 'lost' or 'ok'
end
