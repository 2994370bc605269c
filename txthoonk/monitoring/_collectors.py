"""Prometheus metrics of this process' jobs, of its connections, and of feeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from txthoonk.monitoring._inspector import SILENT, Overview
from txthoonk.service import Thoonk
from txthoonk.worker import Worker

__all__ = ["MEASURED", "ConnectionMeasures", "FeedMeasures", "JobMeasures"]

#: The types of feeds that have metrics.
MEASURED = ("job", "queue", "pyqueue")

OUTCOMES = ("finished", "failed", "stalled", "lost", "released")
BUCKETS = (0.001, 0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600)  # seconds

_STATES = {"job": ("available", "claimed", "delayed", "stalled")}
_STATES_OF_QUEUES = ("available", "claimed")


def _label(name: str) -> str:
    """Return a name as valid UTF-8, the encoding of metrics."""
    return name.encode("utf-8", "backslashreplace").decode()


class JobMeasures:
    """The metrics of this process' workers.

    :ivar feeds: the names of their feeds.
    """

    def __init__(self, registry: CollectorRegistry, workers: tuple[Worker, ...]) -> None:
        self._workers = workers
        self.feeds = sorted({name for worker in workers for name in worker.feed_names})
        jobs = Counter(
            "txthoonk_jobs",
            "Jobs that this process has worked on, by outcome.",
            ["feed", "outcome"],
            registry=registry,
        )
        duration = Histogram(
            "txthoonk_job_duration_seconds",
            "Duration of the handlers of jobs.",
            ["feed"],
            buckets=BUCKETS,
            registry=registry,
        )
        self._running = Gauge(
            "txthoonk_running_jobs",
            "Jobs that this process works on now.",
            ["feed"],
            registry=registry,
        )
        slots = Gauge(
            "txthoonk_job_slots",
            "Jobs that this process can work on at a time.",
            registry=registry,
        )
        slots.set(sum(worker.concurrency for worker in workers))
        # Every series starts at 0, so that the first failure shows as an increase.
        self._observe = {feed: duration.labels(_label(feed)).observe for feed in self.feeds}
        self._count = {
            (feed, outcome): jobs.labels(_label(feed), outcome).inc
            for feed in self.feeds
            for outcome in OUTCOMES
        }

    def begin(self) -> None:
        """Start to count."""
        for worker in self._workers:
            worker.ended.append(self._ended)

    def end(self) -> None:
        """Stop counting."""
        for worker in self._workers:
            worker.ended.remove(self._ended)

    def _ended(self, feed: str, outcome: str, seconds: float) -> None:
        self._count[feed, outcome]()
        self._observe[feed](seconds)

    def sample(self) -> None:
        """Set the gauges of running jobs."""
        running = dict.fromkeys(self.feeds, 0)
        for worker in self._workers:
            for claim in worker.running_jobs:
                running[claim.job.name] += 1
        for feed, count in running.items():
            self._running.labels(_label(feed)).set(count)


def _backlogs(thoonk: Thoonk) -> list[int]:
    return [subscription.backlog for subscription in thoonk.subscriptions]


def _full(thoonk: Thoonk) -> int:
    return sum(one.full for one in thoonk.subscriptions)


def _waiting_gets(thoonk: Thoonk) -> int:
    return thoonk.waiting_room.waiting_gets


_LOOKED_UP: dict[str, tuple[str, Callable[[Thoonk], float]]] = {
    "connected": (
        "Whether the connections to Redis are up.",
        lambda thoonk: thoonk.state == "connected",
    ),
    "subscriptions": (
        "Number of subscriptions.",
        lambda thoonk: len(thoonk.subscriptions),
    ),
    "subscriptions_full": (
        "Subscriptions whose buffer is full, so that they lag.",
        _full,
    ),
    "subscription_backlog_events": (
        "Events in the buffers of all subscriptions.",
        lambda thoonk: sum(_backlogs(thoonk)),
    ),
    "subscription_longest_backlog_events": (
        "Events in the longest buffer of a subscription.",
        lambda thoonk: max(_backlogs(thoonk), default=0),
    ),
    "waiting_gets": (
        "Calls of get that wait for an item or a job.",
        _waiting_gets,
    ),
    "waiting_calls": (
        "Calls that wait for a connection to Redis.",
        lambda thoonk: thoonk.redis.waiting,
    ),
}


class ConnectionMeasures:
    """The metrics of a Thoonk's connections, subscriptions and waiting calls."""

    def __init__(self, registry: CollectorRegistry, thoonk: Thoonk) -> None:
        self._thoonk = thoonk
        self._lost = False
        self._reconnects = Counter(
            "txthoonk_reconnects",
            "How many times the connections to Redis were up again after one was lost.",
            registry=registry,
        )
        self._gauges = [
            (Gauge(f"txthoonk_{name}", text, registry=registry), look_up)
            for name, (text, look_up) in _LOOKED_UP.items()
        ]

    def begin(self) -> None:
        """Start to count."""
        self._lost = self._thoonk.state == "disconnected"

    def state_changed(self, state: str) -> None:
        """Count a reconnect if the Thoonk's new state completes one."""
        if state == "connected" and self._lost:
            self._reconnects.inc()
        self._lost = state == "disconnected"

    def sample(self) -> None:
        """Set the gauges."""
        for gauge, look_up in self._gauges:
            gauge.set(look_up(self._thoonk))


Values = Iterable[tuple[tuple[str, ...], float]]


def _items(one: Overview) -> Values:
    states = _STATES.get(one.type, _STATES_OF_QUEUES)
    return [((state,), getattr(one, state)) for state in states]


def _oldest(one: Overview) -> Values:
    if one.type != "job" or (one.available and one.oldest is None):
        return ()  # not known
    return [((), one.oldest or 0.0)]


def _of_jobs(value: Callable[[Overview], float]) -> Callable[[Overview], Values]:
    return lambda one: [((), value(one))] if one.type == "job" else ()


_Row = tuple[Callable[..., Metric], str, str, tuple[str, ...], Callable[[Overview], Values]]

_READ: tuple[_Row, ...] = (
    (
        GaugeMetricFamily,
        "feed_items",
        "Jobs, or items of a queue, by their state.",
        ("state",),
        _items,
    ),
    (
        GaugeMetricFamily,
        "feed_paused",
        "Whether the feed is paused.",
        (),
        lambda one: [((), one.paused)],
    ),
    (
        CounterMetricFamily,
        "feed_publishes",
        "Jobs or items that were ever put, by any process.",
        (),
        lambda one: [((), one.publishes)],
    ),
    (
        CounterMetricFamily,
        "feed_finishes",
        "Jobs that were ever finished, by any process.",
        (),
        _of_jobs(lambda one: one.finishes),
    ),
    (
        GaugeMetricFamily,
        "feed_oldest_available_seconds",
        "How long the oldest available job has been available; 0 if there is none.",
        (),
        _oldest,
    ),
    (
        GaugeMetricFamily,
        "feed_workers",
        "Workers of all processes that gave a sign of life in the last minute.",
        (),
        _of_jobs(lambda one: sum(worker.seen <= SILENT for worker in one.workers)),
    ),
)


class FeedMeasures:
    """The metrics of feeds, from their last reading.

    The page is made in another thread, so ``overviews`` is replaced as a whole, never changed.

    :ivar overviews: feed -> its state.
    """

    def __init__(self) -> None:
        self.overviews: dict[str, Overview] = {}

    def describe(self) -> Iterator[Metric]:
        """Return the metrics without values."""
        return self._metrics({})

    def collect(self) -> Iterator[Metric]:
        """Return the metrics."""
        return self._metrics(self.overviews)

    def _metrics(self, overviews: dict[str, Overview]) -> Iterator[Metric]:
        for family, name, text, labels, read in _READ:
            metric: Any = family(f"txthoonk_{name}", text, labels=("feed", *labels))
            for feed, one in overviews.items():
                for values, value in read(one):
                    metric.add_metric([_label(feed), *values], value)
            yield metric
