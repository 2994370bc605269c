"""Runs the handlers of a worker.

A handler is found by the name in its job, runs in the reactor or in a thread, ends by its time
limit, and its outcome is reported until Redis has it.
"""

__all__: list[str] = []
