"""The tests that do not depend on the server: those that :mod:`tests.on_server` leaves out.

The tests of ``tests.faults`` take long: they are not among these, and CI runs them beside these.
"""

from __future__ import annotations

from unittest import TestSuite

from tests.on_server import depends_on_server, suite

__all__ = ["testSuite"]


def testSuite() -> TestSuite:
    """Load them; trial calls this."""
    return suite(lambda name: name != "tests.faults" and not depends_on_server(name))
