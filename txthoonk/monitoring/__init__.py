"""What a feed and its workers look like now, as numbers and as Prometheus metrics."""

__all__: list[str] = []
