"""Channels: which messages of Redis go to which handlers.

The dispatcher subscribes to the channels that handlers and groups want, and again after each
reconnect.
"""

__all__: list[str] = []
