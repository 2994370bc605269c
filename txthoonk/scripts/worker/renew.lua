-- Restart the timeouts of claims on jobs of some feeds, and store the records of their workers.
--
-- KEYS
--   1 feed.claimed:[feed]      sorted set
--   2 feed.claims:[feed]       hash
--   3 feed.workers:[feed]      hash
--   4.. feed.config:[feed]     hash         and then all four of the next feed
-- ARGV
--   1 the age in milliseconds from which records of other workers are removed
--   2.. for each feed: the worker, as [owner]:[number], where the owner is that of its claims;
--     its record, empty if it ends; how many claims; and for each its id and token
-- Reply: for each feed the configured timeout, nil if there is none, the number 0 if the feed has no
--   configuration; and an array: the indexes of the claims that are not valid any more, from 0
-- Errors: none
-- Events: none
-- Cost: O(log n) for each claim, O(w) for w workers of a feed

--- include in_milliseconds
--- include holds_claim
--- include claim_of
--- include now
--- include renew_claim
--- include tell_worker
local reply, at = {}, 2
local most = tonumber(ARGV[1])
local time = now()
-- When memory is full, Redis allows HDEL, and then all writes after it.
redis.call('HDEL', KEYS[3], '')
for first = 1, #KEYS, 4 do
  local claimed, claims, workers, config = unpack(KEYS, first, first + 3)
  local timeout = redis.pcall('HGET', config, 'timeout')
  if type(timeout) == 'table' and not string.find(timeout.err, 'WRONGTYPE', 1, true) then
    return timeout
  end
  local exists = redis.call('EXISTS', config) == 1
  if exists then
    tell_worker(workers, ARGV[at], ARGV[at + 1], time, most)
  end
  local lost, last = {}, at + 2 + 2 * ARGV[at + 2]
  for index = at + 3, last, 2 do
    local id, token = ARGV[index], ARGV[index + 1]
    local score, entry = claim_of(claimed, claims, id)
    if holds_claim(token, score, entry) then
      renew_claim(claimed, claims, id, score, entry, string.format('%.17g', time))
    else
      lost[#lost + 1] = (index - at - 3) / 2
    end
  end
  reply[#reply + 1] = not exists and 0 or type(timeout) == 'string' and timeout
  reply[#reply + 1] = lost
  at = last + 1
end
return reply
