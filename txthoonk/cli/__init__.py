"""The ``thoonk`` command: feeds from the shell."""

from txthoonk.cli._main import main

__all__ = ["main"]
