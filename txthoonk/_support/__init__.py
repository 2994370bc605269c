"""Small helpers for Deferreds and services that know nothing of Redis."""

__all__: list[str] = []
