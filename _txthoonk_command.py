"""Starts the ``thoonk`` command.

This module is outside the package because importing the package takes a moment. Ctrl-C during that
moment would print a traceback.
"""

import signal
from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command, and exit; a signal while it is imported ends the process silently."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from txthoonk.cli import main as run

    run()
