"""A feed's history: reading it, and deciding what a position can resume from."""

__all__: list[str] = []
