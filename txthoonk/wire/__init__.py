"""The contract on Redis: names, scripts, and what is stored.

Key and channel names, configuration settings, job records, the Lua scripts and
their loader, glob patterns.  Nothing here opens a connection.
"""

__all__: list[str] = []
