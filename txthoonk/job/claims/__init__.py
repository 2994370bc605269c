"""A claim on a job, from the get to its end.

Each module does one part for the ``Job`` of one feed: it claims, finishes, fails or releases
jobs.  ``_job_calls`` lists what workers call.
"""

__all__: list[str] = []
