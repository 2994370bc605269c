-- Puts the new jobs of a feed, as new_jobs returns it, as part of a change, and adds their events.
local function put_new(undo, feed, time)
  for _, job in ipairs(feed.jobs) do
    if job.due ~= '' then
      job.due = job.absolute == '1' and tonumber(job.due) or time + job.due
      if delay(undo, feed.delayed, feed.later, job.id, job.item, job.due, job.push) then
        feed.first = job
      end
    else
      redis.call('INCRBY', feed.publishes, 1)
      undo[#undo + 1] = function() undo_count(feed.publishes, 1) end
      set_field(undo, feed.items, job.id, job.item)
      set_member(undo, feed.published, job.id, string.format('%.17g', time))
      if job.push == 'RPUSH' then
        recall(undo, feed.transit, feed.ids)
      end
      push_id(undo, job.push, feed.ids, job.id)
      add_event(feed.events, 'put', feed.channel, job.id, job.item)
    end
    write_options(undo, feed.options, job.given, {job.id}, time)
  end
end
