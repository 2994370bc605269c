"""What errors say of the values that they name."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from txthoonk import Thoonk, Worker
from txthoonk.errors import InvalidType, shown
from txthoonk.job._putting import check_new_jobs
from txthoonk.metrics import Metrics
from txthoonk.types._bulk import _each


class MissingAwaitTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.given: Any = Deferred()

    def assertSaid(self, function: Any, *args: Any, **options: Any) -> None:
        error = self.assertRaises(InvalidType, function, *args, **options)
        self.assertIn("(await it first)", str(error))

    def test_shown(self) -> None:
        """An error that names what nothing has awaited says so; other values stay as they are."""

        async def opened() -> None:
            pass

        coroutine = opened()
        self.addCleanup(coroutine.close)
        for given in (self.given, coroutine):
            self.assertTrue(shown(given).endswith("> (await it first)"), shown(given))
        for given in (5, "text", None, Deferred, opened):
            self.assertEqual(shown(given), repr(given))

    def test_iterables(self) -> None:
        """A Deferred, which iterates without end, is refused where an iterable is expected."""
        self.assertSaid(Worker, self.given, print)
        self.assertSaid(Worker, [self.given], print)
        self.assertSaid(Metrics, Thoonk("redis://localhost"), self.given)
        self.assertSaid(check_new_jobs, self.given)
        self.failureResultOf(Deferred.fromCoroutine(self.first_item()), InvalidType)

    async def first_item(self) -> None:
        async for _ in _each(self.given):
            return
