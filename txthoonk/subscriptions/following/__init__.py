"""A subscription that follows one feed: its position, its state, and what it reads from Redis.

The table of states and transitions is in ``_states``; the rules are in ``txthoonk.history``.
"""

__all__: list[str] = []
