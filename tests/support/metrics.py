"""Helpers for the unit tests of metrics."""

from __future__ import annotations

from typing import Any

from twisted.logger import LogLevel

from tests.support.connections import Peer
from tests.support.logs import observe_log
from tests.support.service_cases import ServiceTestCase
from tests.support.wire import SCRIPTS, resp
from txthoonk import Thoonk, Worker
from txthoonk.metrics import Metrics
from txthoonk.types import Claim

ABOUT = '{"name": "w", "concurrency": 2}'


def overview(kind: str = "job", *counts: int, oldest: str | None = None) -> bytes:
    """Return the script's reply, at 100 seconds after the start of 1970.

    :param counts: whether the feed is paused, and the counts in the order of the reply.
    """
    numbers = [*counts, *[0] * (7 - len(counts))]
    workers = ["one", f"99000 {ABOUT}", "two", f"39000 {ABOUT}"]
    return resp(["100000", kind, *numbers, oldest, workers, []])


def handler(claim: Claim) -> None:
    pass


class MetricsTestCase(ServiceTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.logged: list[Any] = []
        observe_log(self, self.log)

    def log(self, event: Any) -> None:
        if event["log_level"] > LogLevel.info and "Metrics" in event["log_namespace"]:
            self.logged.append(event["log_format"].partition(":")[0])

    def begin(self, *workers: Worker, **options: Any) -> Metrics:
        """Start metrics of a connected service."""
        self.metrics = Metrics(self.come_up(health=0), workers, **options)
        self.registry = self.metrics.registry
        self.metrics.startService()
        self.addCleanup(self.metrics.stopService)
        return self.metrics

    def worker(self, *names: str, **options: Any) -> Worker:
        thoonk: Any = object.__new__(Thoonk)
        return Worker(names, handler, thoonk=thoonk, **options)

    def asked(self, peer: Peer | None = None) -> list[Any]:
        """Return the requests: the command, or the feed of an overview."""
        asked = []
        for command in (peer or self.pub).sent():
            if SCRIPTS.get(command[1] if len(command) > 1 else b"") == b"registry/overview":
                self.assertEqual(command[-1], b"0")  # the limit of listed claims
                asked.append(command[3].removeprefix(b"feed.config:").decode())
            else:
                asked.append(b" ".join(command).decode())
        return asked

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"txthoonk_{name}", labels)

    def shown(self) -> set[str]:
        """Return the feeds that are shown."""
        feeds = set()
        for metric in self.registry.collect():
            if metric.name.startswith("txthoonk_feed"):
                feeds |= {sample.labels["feed"] for sample in metric.samples}
        return feeds
