-- Parses new jobs for some feeds, from places in KEYS and ARGV on, and checks them. Returns the
-- feeds, each with its jobs, and the error to reply, if there is one. The job that is about to be
-- finished does not count as one that exists.
local function new_jobs(feeds, key, at, finishing_name, finishing_id)
  local found = {}
  while at <= #ARGV do
    local config, revision, history, publishes, items = unpack(KEYS, key, key + 4)
    local ids, published, delayed, later, transit, options = unpack(KEYS, key + 5, key + 10)
    local name, event, channel, due_channel, count = unpack(ARGV, at, at + 4)
    local feed = {name = name, event = event, channel = channel, due_channel = due_channel, jobs = {},
      revision = revision, history = history, publishes = publishes, items = items, ids = ids,
      published = published, delayed = delayed, later = later, transit = transit, options = options}
    local failure, limit, serializer, kind = open_feed(feeds, config, name, 'serializer')
    failure = failure or wrong_type(name, kind, 'job', config)
    if failure then
      return found, failure
    end
    feed.limit = limit
    local wanted, again = {}, false
    at, key = at + 5, key + 11
    for _ = 1, tonumber(count) do
      local push, id, item, due, absolute, given, used = unpack(ARGV, at, at + 6)
      failure = failure or other_serializer(name, serializer, used)
      feed.jobs[#feed.jobs + 1] = {push = push, id = id, item = item, due = due, absolute = absolute,
        given = given}
      if again or name ~= finishing_name or id ~= finishing_id then
        wanted[#wanted + 1] = id
      else
        again = true
      end
      at = at + 7
    end
    if #wanted > 0 and not failure then
      failure = select(2, jobs_exist(items, delayed, options, name, wanted))
    end
    if failure then
      return found, failure
    end
    redis.call('LLEN', ids)
    redis.call('LLEN', transit)
    redis.call('ZCARD', published)
    redis.call('ZCARD', delayed)
    redis.call('HLEN', later)
    redis.call('HLEN', options)
    found[#found + 1] = feed
  end
  return found
end
