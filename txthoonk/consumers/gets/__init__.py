"""Gets that wait for an item of a queue or a job: one line of callers for each feed."""
