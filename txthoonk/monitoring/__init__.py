"""The state of feeds and their workers, as numbers and as Prometheus metrics."""

__all__: list[str] = []
