"""The tests that depend on the server: for those on which not all tests are run.

::

    TXTHOONK_REDIS_SERVER=/path/to/valkey-server python -m twisted.trial tests.on_server

:mod:`tests.off_server` has the others.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from unittest import TestSuite

from twisted.trial.runner import TestLoader

import tests
from tests import integration

__all__ = ["depends_on_server", "suite", "testSuite"]

#: What begins so does not depend on the server: the repository, and what starts programs.
ELSEWHERE = (
    *("test_benchmarks", "test_chaos", "test_docs", "test_example", "test_readme"),
    *("cli", "tap"),
)


def _names() -> list[str]:
    """Return the packages of tests, and instead of ``tests.integration`` its parts."""
    packages = [one.name for one in pkgutil.iter_modules(tests.__path__, "tests.") if one.ispkg]
    packages.remove(integration.__name__)
    parts = pkgutil.iter_modules(integration.__path__, f"{integration.__name__}.")
    return [*packages, *(one.name for one in parts)]


def depends_on_server(name: str) -> bool:
    """Return whether the server matters to a package, or to a part of ``tests.integration``."""
    _, package, *part = name.split(".")
    if part:
        return not part[0].startswith(ELSEWHERE)
    return package in ("contract", "model")


def suite(wanted: Callable[[str], bool]) -> TestSuite:
    """Load the tests of some packages and parts.

    :param wanted: whether a package, or a part of ``tests.integration``, is one of them.
    """
    loaded: TestSuite = TestLoader().loadByNames([*filter(wanted, _names())], recurse=True)
    return loaded


def testSuite() -> TestSuite:
    """Load them; trial calls this."""
    return suite(depends_on_server)
