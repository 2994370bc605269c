"""The commands on feeds, sorted feeds and jobs, ``watch`` and ``import``.

Each is a function with ``@command``, and runs with a connected ``Thoonk``.
"""

__all__: list[str] = []
