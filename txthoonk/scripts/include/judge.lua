-- Tells what became of a position of a reader: ok if nothing before it was changed since,
-- else why not. Without an epoch the position is taken for one of the present epoch.
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
