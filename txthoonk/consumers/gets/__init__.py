"""Gets that wait for an item of a queue or a job.

All gets of a publisher on one feed form one line of callers, and share one connection that
waits.  ``_patience`` decides how a get continues after an error that passes.
"""

__all__: list[str] = []
