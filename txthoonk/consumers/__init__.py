"""What a publisher needs to wait: for items, for results, for the time.

A pool of connections, the get queue of each feed, deadlines of jobs, renewal of claims,
and calls that are repeated until Redis answers.
"""

__all__: list[str] = []
