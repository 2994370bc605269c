"""A private redis-server, and the supervisor that ends it with its owner."""

__all__: list[str] = []
