"""Run the scenarios, all or those named, one after the other.

python -m tests.chaos
python -m tests.chaos roles threads
"""

from __future__ import annotations

import sys
import time
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from tests import chaos


def names() -> list[str]:
    """List the scenarios."""
    return sorted(one.name for one in iter_modules(chaos.__path__) if one.name[0] != "_")


async def main(reactor: Any, chosen: list[str]) -> None:
    """Run each scenario, and exit with status 1 if a promise of one does not hold."""
    unknown = sorted(set(chosen) - set(names()))
    if unknown:
        sys.exit(f"no scenario {unknown[0]!r}: choose from {', '.join(names())}")
    broken = 0
    for name in chosen or names():
        scenario = import_module(f"tests.chaos.{name}")
        print(f"{name}: {(scenario.__doc__ or '').splitlines()[0]}", flush=True)
        begun = time.monotonic()
        try:
            outcome = await scenario.run(reactor)
        except AssertionError as error:
            broken += 1
            outcome = f"WRONG: {error}"
        print(f"  {outcome} ({time.monotonic() - begun:.0f} s)", flush=True)
    if broken:
        sys.exit(1)


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, sys.argv[1:])))
