"""The life of Metrics, and the names of the metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from tests.support.metrics import MetricsTestCase, overview
from txthoonk.errors import InvalidInput, InvalidType
from txthoonk.metrics import Metrics, MetricsService


class LifeTests(MetricsTestCase):
    def test_not_started(self) -> None:
        """Metrics that were not started send nothing and observe nothing."""
        worker = self.worker("a")
        metrics = Metrics(self.come_up(health=0), worker)
        self.assertEqual((worker.ended, self.thoonk._state_observers), ([], [self.changed]))
        self.assertEqual(self.asked(), [])
        self.assertIsNone(self.successResultOf(metrics.stopService()))

    def test_stopped(self) -> None:
        """Stopping ends a reading under way; a later start continues the counters."""
        worker = self.worker("a")
        calls = self.clock.getDelayedCalls
        metrics = Metrics(self.come_up(health=0), worker)
        self.registry, before = metrics.registry, calls()
        for count in (1.0, 2.0):
            metrics.startService()
            metrics.startService()
            self.assertEqual(self.asked(), ["a"])
            (ended,) = worker.ended
            ended("a", "finished", 1.0)
            self.assertEqual(self.value("jobs_total", feed="a", outcome="finished"), count)
            self.assertIsNone(self.successResultOf(metrics.stopService()))
            self.assertEqual((worker.ended, self.thoonk._state_observers), ([], [self.changed]))
            self.assertEqual(calls(), before)
            self.pub.answer(overview())
        self.assertEqual((self.shown(), self.logged), (set(), []))

    def test_registry(self) -> None:
        """Metrics register once in the given registry."""
        registry = CollectorRegistry()
        self.assertIs(self.begin(registry=registry).registry, registry)
        with self.assertRaises(ValueError):
            Metrics(self.thoonk, registry=registry)

    def test_names(self) -> None:
        """Each metric has a name and a description in the style of Prometheus."""
        self.begin(self.worker("a"))
        self.pub.answer(overview())
        for metric in self.registry.collect():
            self.assertTrue(metric.name.startswith("txthoonk_"), metric.name)
            self.assertRegex(metric.documentation, r"\A[A-Z].*\.\Z")
            if metric.type == "counter":
                self.assertIn(f"{metric.name}_total", {one.name for one in metric.samples})

    def test_bad_input(self) -> None:
        """Invalid arguments are refused at once."""
        thoonk = self.make()
        for interval in (0, -1, float("nan")):
            with self.assertRaises(InvalidInput):
                Metrics(thoonk, interval=interval)
        for workers in ([thoonk], ["mail"]):
            with self.assertRaises(InvalidType):
                Metrics(thoonk, workers)  # type: ignore[arg-type]
        for port in (-1, 65536, "80", True, 8.0):
            with self.assertRaises(InvalidInput):
                MetricsService(thoonk, port=port)  # type: ignore[arg-type]
