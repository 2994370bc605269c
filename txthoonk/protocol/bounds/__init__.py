"""The bounds of one call.

The server limits the size of a command and its arguments.  Large replies are read in slices, so
that neither the server nor the reactor stalls.
"""

__all__: list[str] = []
