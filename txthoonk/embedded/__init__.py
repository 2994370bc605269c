"""A private redis-server: starting it, and ending it with its owner."""

__all__: list[str] = []
