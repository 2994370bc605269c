"""The version; ``python -m incremental.update txthoonk`` writes this file."""

from incremental import Version

__all__ = ["__version__"]

__version__ = Version("txthoonk", 0, 2, 0)
