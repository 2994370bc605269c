"""``thoonk top``: the state of feeds, jobs and workers, on one screen.

A model reads the numbers, a view draws them with rich, and the terminal gives keys and sizes.
"""

__all__: list[str] = []
