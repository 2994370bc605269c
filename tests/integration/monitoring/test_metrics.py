"""Metrics as Prometheus reads them over HTTP, from workers and feeds on a real server."""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.task import deferLater
from twisted.internet.utils import getProcessOutputAndValue
from twisted.web.client import Agent, HTTPConnectionPool, readBody

from tests.support import RedisTestCase
from tests.support.readme import blocks
from tests.support.server import ROOT
from tests.support.waiting import until
from txthoonk import Stall, Thoonk, Worker
from txthoonk.metrics import MetricsService
from txthoonk.types import Claim

reactor: Any = installed_reactor

WITHOUT = """
import sys
sys.modules["prometheus_client"] = None
import txthoonk.metrics
"""
UNUSED = """
import sys
import txthoonk, txthoonk.worker, txthoonk.cli
print([name for name in sys.modules if name.startswith("prometheus_client")])
"""

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class MetricsTestCase(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.thoonk = Thoonk(self.target.text, reactor, retry_policy=lambda _: 0.02)
        self.addCleanup(self.thoonk.close)
        await self.thoonk.connect()
        self.pool = HTTPConnectionPool(reactor)
        self.addCleanup(self.close_pool)
        self.agent = Agent(reactor, pool=self.pool)

    async def close_pool(self) -> None:
        """Close the connections, and wait until the reactor notices."""
        await self.pool.closeCachedConnections()
        await deferLater(reactor, 0)

    def serve(self, *workers: Worker, port: int = 0, **options: Any) -> MetricsService:
        service = MetricsService(self.thoonk, workers, port, **options)
        service.startService()
        self.addCleanup(service.stopService)
        return service

    def url(self, service: MetricsService, path: str = "/metrics") -> bytes:
        return f"http://127.0.0.1:{service.address.port}{path}".encode()

    async def get(self, service: MetricsService, path: str = "/metrics") -> tuple[int, str]:
        response = await self.agent.request(b"GET", self.url(service, path))
        return response.code, (await readBody(response)).decode()

    async def scrape(self, service: MetricsService) -> Samples:
        """Return what Prometheus would read: name and labels -> value."""
        code, text = await self.get(service)
        self.assertEqual(code, 200)
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    async def scraped(self, service: MetricsService, name: str, value: float) -> Samples:
        """Scrape when a metric without labels has reached *value*."""

        def current() -> float | None:
            service.metrics.sample()
            return service.metrics.registry.get_sample_value(f"txthoonk_{name}")

        await until(lambda: current() == value)
        return await self.scrape(service)


class PageTests(MetricsTestCase):
    async def test_all(self) -> None:
        """One page shows the metrics of a worker, its feed and its connections."""
        endless: Deferred[None] = Deferred()

        def handler(claim: Claim) -> Deferred[None] | None:
            if claim.item == "fails":
                raise ValueError
            if claim.item == "stalls":
                raise Stall("so")
            return endless if claim.item == "runs" else None

        worker = Worker("mail", handler, 2, thoonk=self.thoonk, back_off=lambda _: 100.0)
        service = self.serve(worker)
        worker.startService()
        self.addCleanup(endless.callback, None)
        ended: list[tuple[str, str]] = []
        worker.ended.append(lambda feed, outcome, _: ended.append((feed, outcome)))
        mail = await self.thoonk.job("mail")
        await mail.put_many(["works", "fails", "stalls", "works", "runs"])
        await self.thoonk.subscribe("mail")
        await until(lambda: len(ended) == 4 and len(worker.running_jobs) == 1)
        await self.until_answer(mail.stats, lambda stats: stats["claimed"] == 1)
        await service.metrics.stopService()
        service.metrics.startService()  # reads at once
        await until(lambda: service.metrics._reading is None)
        samples = await self.scrape(service)
        for name, labels, value in (
            ("jobs_total", {"feed": "mail", "outcome": "finished"}, 2),
            ("jobs_total", {"feed": "mail", "outcome": "failed"}, 1),
            ("jobs_total", {"feed": "mail", "outcome": "stalled"}, 1),
            ("jobs_total", {"feed": "mail", "outcome": "lost"}, 0),
            ("jobs_total", {"feed": "mail", "outcome": "released"}, 0),
            ("job_duration_seconds_count", {"feed": "mail"}, 4),
            ("running_jobs", {"feed": "mail"}, 1),
            ("job_slots", {}, 2),
            ("feed_items", {"feed": "mail", "state": "available"}, 0),
            ("feed_items", {"feed": "mail", "state": "claimed"}, 1),
            ("feed_items", {"feed": "mail", "state": "delayed"}, 1),
            ("feed_items", {"feed": "mail", "state": "stalled"}, 1),
            ("feed_paused", {"feed": "mail"}, 0),
            ("feed_publishes_total", {"feed": "mail"}, 5),
            ("feed_finishes_total", {"feed": "mail"}, 2),
            ("feed_oldest_available_seconds", {"feed": "mail"}, 0),
            ("feed_workers", {"feed": "mail"}, 1),
            ("up", {}, 1),
            ("connected", {}, 1),
            ("reconnects_total", {}, 0),
            ("subscriptions", {}, 1),
            ("waiting_gets", {}, 1),
            ("waiting_calls", {}, 0),
        ):
            key = (f"txthoonk_{name}", tuple(sorted(labels.items())))
            self.assertEqual(samples.get(key), value, key)
        self.assertTrue(any(name == "process_cpu_seconds_total" for name, _ in samples))

    async def test_all_feeds(self) -> None:
        """Without workers, the page shows all queues and job feeds."""
        for type_ in ("feed", "sorted_feed", "queue", "pyqueue", "job"):
            await getattr(self.thoonk, type_)(f"a {type_}")
        samples = await self.scraped(self.serve(), "up", 1.0)
        feeds = {dict(labels).get("feed") for _, labels in samples}
        self.assertEqual(feeds, {None, "a queue", "a pyqueue", "a job"})

    async def test_reconnect(self) -> None:
        """``reconnects_total`` counts connections that were lost and made again."""
        service = self.serve()
        await self.scraped(service, "up", 1.0)
        publisher = await self.thoonk.redis.send("CLIENT", "ID")
        await self.raw.send("CLIENT", "KILL", "ID", publisher)
        await self.scraped(service, "reconnects_total", 1.0)
        await self.scraped(service, "connected", 1.0)

    async def test_other_pages(self) -> None:
        """Only ``/metrics`` and paths below it serve the metrics; others fail with 404."""
        service = self.serve()
        for path in ("/", "/metrics/x/..", "/other"):
            code, text = await self.get(service, path)
            self.assertEqual(
                (code, "txthoonk_" in text), (200, True) if "x" in path else (404, False)
            )


class DocumentTests(MetricsTestCase):
    async def test_names(self) -> None:
        """docs/metrics.rst lists all metrics and no others."""
        await self.thoonk.job("mail")
        worker = Worker("mail", lambda claim: None, thoonk=self.thoonk)
        page = await self.scraped(self.serve(worker), "up", 1.0)
        measured = {name for name, _ in page if name.startswith("txthoonk_")}
        named = {name.removesuffix("_bucket").removesuffix("_count") for name in measured}
        named = {name for name in named if not name.endswith(("_created", "_seconds_sum"))}
        text = (Path(ROOT) / "docs" / "metrics.rst").read_text()
        self.assertEqual(set(re.findall(r"(?m)^``(txthoonk_\w+)``", text)), named)
        self.assertLessEqual(set(re.findall(r"txthoonk_\w+", text)), named)

    async def test_program(self) -> None:
        """The program in docs/metrics.rst prints what its comments say."""
        (program,) = blocks("docs/metrics.rst")
        printed: list[str] = []
        names: dict[str, Any] = {"thoonk": self.thoonk, "print": printed.append}
        exec("async def run():\n" + textwrap.indent(program, "    "), names)  # noqa: S102
        await names["run"]()
        self.assertEqual(printed, re.findall(r"print\(.*\)  # (.*)", program))


class LifeTests(MetricsTestCase):
    async def test_loopback(self) -> None:
        """The page is served on the loopback interface unless another interface is given."""
        self.assertEqual(self.serve().address.host, "127.0.0.1")
        self.assertEqual(self.serve(interface="::1").address.host, "::1")

    async def test_port_in_use(self) -> None:
        """A port in use fails startService, which leaves nothing running."""
        port = self.serve().address.port
        second = MetricsService(self.thoonk, (), port)
        with self.assertRaises(CannotListenError):
            second.startService()
        self.assertFalse(second.running or second.metrics.running)
        self.assertIsNone(await second.stopService())
        self.assertEqual(len(self.thoonk._state_observers), 1)

    async def test_restart(self) -> None:
        """stopService closes the port and kept connections, and the service can start again."""
        service = self.serve()
        self.assertEqual((await self.get(service))[0], 200)
        port = service.address.port
        service.startService()  # it runs already
        await service.stopService()
        self.assertIsNone(service.address)
        await service.stopService()
        kept = [one for group in self.pool._connections.values() for one in group]
        await until(lambda: [one.state for one in kept] == ["CONNECTION_LOST"])
        again = self.serve(port=port)
        self.assertEqual((await self.get(again))[0], 200)
        service.startService()
        self.assertEqual((await self.get(service))[0], 200)

    async def test_unused(self) -> None:
        """Programs without metrics do not import prometheus_client."""
        out, err, code = await self.python(UNUSED)
        self.assertEqual((out.strip(), err, code), ("[]", "", 0))

    async def test_missing(self) -> None:
        """Without prometheus_client, the import error says how to install it."""
        _, err, code = await self.python(WITHOUT)
        self.assertEqual(code, 1)
        self.assertIn("pip install 'txthoonk[metrics]'", err)

    async def python(self, program: str) -> tuple[str, str, int]:
        environment = {"PYTHONPATH": ROOT}
        run = ("-c", program)
        out, err, code = await getProcessOutputAndValue(sys.executable, run, environment)
        return out.decode(), err.decode(), code
