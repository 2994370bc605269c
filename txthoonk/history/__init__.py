"""A feed's history: reading it, and deciding how to go on from a position.

``_reads`` asks Redis. ``_recovery`` has the decisions, as pure functions.
"""

__all__: list[str] = []
