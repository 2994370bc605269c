"""What a publisher needs in order to wait: for items, for results, for deadlines.

A pool of connections, the get queue of each feed, deadlines of jobs, heartbeats of workers, and
calls that are repeated until Redis answers.
"""

__all__: list[str] = []
