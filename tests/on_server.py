"""The tests that depend on the server: for those on which not all tests are run.

::

    TXTHOONK_REDIS_SERVER=/path/to/valkey-server python -m twisted.trial tests.on_server
"""

from __future__ import annotations

import pkgutil
from unittest import TestSuite

from twisted.trial.runner import TestLoader

from tests import integration

__all__ = ["testSuite"]

#: What begins so does not depend on the server: the repository, and what starts programs.
ELSEWHERE = (
    *("test_benchmarks", "test_chaos", "test_docs", "test_example", "test_readme"),
    *("cli", "tap"),
)


def testSuite() -> TestSuite:
    """Load them; trial calls this."""
    names = ["tests.contract", "tests.model"]
    for module in pkgutil.iter_modules(integration.__path__, "tests.integration."):
        if not module.name.rpartition(".")[2].startswith(ELSEWHERE):
            names.append(module.name)
    suite: TestSuite = TestLoader().loadByNames(names, recurse=True)
    return suite
