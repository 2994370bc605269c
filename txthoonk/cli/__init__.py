"""The ``thoonk`` command: feeds, queues and jobs from the shell.

click parses the command line; each command is a coroutine function in ``_feeds``, ``_jobs``,
``_watch`` or ``_top``, which runs on the Twisted reactor.
"""

from txthoonk.cli._main import main

__all__ = ["main"]
