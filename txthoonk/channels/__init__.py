"""From Redis pub/sub messages to the handlers of each channel."""

__all__: list[str] = []
