"""Helpers for the unit tests of stopping a service."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.support.service_cases import ServiceTestCase
from tests.support.wire import outcome, resp
from txthoonk.errors import ConnectionLost


class StopTestCase(ServiceTestCase):
    def goes_on(self) -> None:
        """Check that the stopped service starts as if it were new, and stops again."""
        self.nothing_left()
        connected = outcome(self.thoonk.connect())
        self.clock.advance(0)
        self.accept_both()
        self.assertEqual(connected, [self.thoonk])
        length = outcome(self.thoonk.redis.llen("key"))
        self.assertEqual(self.pub.sent(), [[b"LLEN", b"key"]])
        self.pub.answer(resp(3))
        self.assertEqual(length, [3])
        self.stop()

    def stop_and_go_on(self) -> None:
        self.stop()
        self.goes_on()

    def fails(self, *calls: Deferred[Any], with_: type[Exception] = ConnectionLost) -> None:
        for call in calls:
            error = self.failureResultOf(call, with_).value
            self.assertIn("stopped", str(error))
