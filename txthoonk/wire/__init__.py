"""The contract on Redis: key and channel names, stored records, and the Lua scripts' loader.

Nothing here opens a connection.
"""

__all__: list[str] = []
