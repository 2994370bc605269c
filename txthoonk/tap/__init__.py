"""The plugins of ``twist``: a worker and a maintenance service."""

__all__: list[str] = []
