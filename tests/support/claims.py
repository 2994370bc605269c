"""Helpers for the unit tests of claims."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.support.wire import Connection, Endpoint, outcome
from txthoonk.client import ThoonkPub
from txthoonk.protocol import Redis
from txthoonk.types import Claim, Job

RETRIED = b"feed.retried:j"
EVENT = b"feed.event:j"


class ClaimTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.pub = ThoonkPub(Redis(), reactor=Clock(), endpoint=Endpoint())
        self.main = Connection(self.pub)
        self.main.know_scripts()
        self.job = Job(self.pub, "j")
        self.owner = self.pub.uuid
        self.claims = self.job._claims

    def get(self, id_: str = "a", time: str = "5.5", item: bytes = b"A") -> Claim:
        """Claim a job."""
        got = self.job.get()
        self.main.sent()
        self.main.answer([time, 0, id_, item, 2])
        claim = self.successResultOf(got)
        assert isinstance(claim, Claim)
        return claim

    def token(self, time: str = "5.5") -> str:
        return f"{self.owner}:{time}"

    def ends(self, call: Any, *words: bytes) -> list[Any]:
        """Check the last words of the request for a call, and return the call's outcome."""
        fired = outcome(call)
        (sent,) = self.main.sent()
        self.assertEqual(tuple(sent[-len(words) :]), words)
        return fired
