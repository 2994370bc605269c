"""Small helpers for Deferreds, services, threads and logs."""

__all__: list[str] = []
