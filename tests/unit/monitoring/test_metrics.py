"""Metrics on a fake clock and in-memory connections: when they are read, and what they show."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from prometheus_client import generate_latest
from twisted.internet.defer import Deferred

from tests.support.metrics import MetricsTestCase, handler, overview
from tests.support.wire import resp
from txthoonk import Worker
from txthoonk.events import Event
from txthoonk.metrics import Metrics
from txthoonk.monitoring import _metrics as metrics
from txthoonk.subscriptions import Subscription
from txthoonk.types import Claim, Job

NAMES = "SSCAN feeds 0 COUNT 1000"


class FeedTests(MetricsTestCase):
    def test_feeds_of_workers(self) -> None:
        """With workers, a reading covers the workers' feeds only."""
        self.begin(self.worker("b", "a"), self.worker("b"))
        self.assertEqual(self.asked(), ["a", "b"])
        self.assertIsNone(self.value("up", feed="a"))
        self.pub.answer(overview("job", 1, 2, 3, 4, 5, 60, 50, oldest="98500"))
        self.pub.answer(overview("job", 0))
        self.assertEqual(self.value("up"), 1.0)
        expected = {"available": 2.0, "claimed": 3.0, "stalled": 4.0, "delayed": 5.0}
        for state, count in expected.items():
            self.assertEqual(self.value("feed_items", feed="a", state=state), count, state)
        for name, of_a, of_b in (
            ("feed_paused", 1.0, 0.0),
            ("feed_publishes_total", 60.0, 0.0),
            ("feed_finishes_total", 50.0, 0.0),
            ("feed_oldest_available_seconds", 1.5, 0.0),
            ("feed_workers", 1.0, 1.0),  # the other worker's heartbeat is 61 seconds old
        ):
            self.assertEqual(self.value(name, feed="a"), of_a, name)
            self.assertEqual(self.value(name, feed="b"), of_b, name)

    def test_all_feeds(self) -> None:
        """Without workers, a reading covers all queues and job feeds, as their type allows."""
        self.begin()
        self.assertEqual(self.asked(), [NAMES])
        self.pub.answer(resp(["0", ["news", "q", "jobs"]]))
        self.assertEqual(self.asked(), ["jobs", "news", "q"])
        self.pub.answer(overview("job", 0, 1))  # the age of its one job is unknown
        self.pub.answer(overview("feed", 0, 9))
        self.pub.answer(overview("pyqueue", 0, 2, 3, 0, 0, 7))
        self.assertEqual(self.shown(), {"jobs", "q"})
        states = ("available", "claimed", "stalled", "delayed")
        self.assertEqual(
            [self.value("feed_items", feed="q", state=state) for state in states],
            [2.0, 3.0, None, None],
        )
        self.assertEqual(self.value("feed_publishes_total", feed="q"), 7.0)
        for name in ("feed_finishes_total", "feed_oldest_available_seconds", "feed_workers"):
            self.assertIsNone(self.value(name, feed="q"), name)
        self.assertIsNone(self.value("feed_oldest_available_seconds", feed="jobs"))

    def test_interval(self) -> None:
        """Metrics are read every interval, one reading at a time."""
        self.begin(self.worker("a"), interval=3.0)
        self.assertEqual(self.asked(), ["a"])
        self.wait(3.0)
        self.assertEqual(self.asked(), [])
        self.pub.answer(overview())
        self.wait(2.875)
        self.assertEqual(self.asked(), [])
        self.wait(0.125)
        self.assertEqual(self.asked(), ["a"])

    def test_other_types(self) -> None:
        """A feed of another type is not read every time, but often enough to notice a new type."""
        self.begin()
        for reading in range(61):
            self.assertEqual(self.asked(), [NAMES])
            self.pub.answer(resp(["0", ["a"]]))
            self.assertEqual(self.asked(), [] if reading % 30 else ["a"], reading)
            if not reading % 30:
                self.pub.answer(overview("feed"))
            self.wait(10.0)

    def test_deleted(self) -> None:
        """A deleted feed is not shown, and is read again when it comes back."""
        self.begin()
        for names, kind in ((["a"], "job"), ([], ""), (["a"], "feed"), ([], ""), (["a"], "job")):
            self.asked()
            self.pub.answer(resp(["0", names]))
            self.assertEqual(self.asked(), names)
            if names:
                self.pub.answer(overview(kind))
            self.assertEqual(self.shown(), set(names) if kind == "job" else set())
            self.wait(10.0)

    def test_many(self) -> None:
        """A reading is bounded, however many feeds exist, and each feed gets its turn."""
        self.patch(metrics, "MOST", 3)
        self.patch(metrics, "PAGES", 2)
        self.begin()
        pages = {"0": ["1", ["a", "b"]], "1": ["2", []], "2": ["0", ["c", "d", "e"]]}
        readings = []
        for _ in range(4):
            read: list[str] = []
            while asked := self.asked():
                for one in asked:
                    if one.startswith("SSCAN"):
                        self.pub.answer(resp(pages[one.split()[2]]))
                    else:
                        read.append(one)
                        self.pub.answer(overview("job"))
            readings.append("".join(read))
            self.wait(10.0)
        self.assertEqual(readings, ["ab", "abcde", "abc", "ade"])
        self.assertEqual(self.shown(), set("abcde"))

    def test_cannot_read_one(self) -> None:
        """A feed that cannot be read is missing; ``up`` is 0, and the failure is logged once."""
        self.begin(self.worker("a", "b"))
        for replies, up, shown in (
            ([b"-WRONGTYPE bad\r\n", overview()], 0.0, {"b"}),
            ([b"-WRONGTYPE bad\r\n", overview()], 0.0, {"b"}),
            ([overview(), overview()], 1.0, {"a", "b"}),
            ([b"-WRONGTYPE bad\r\n", overview()], 0.0, {"b"}),
        ):
            for reply in replies:
                self.pub.answer(reply)
            self.assertEqual((self.value("up"), self.shown()), (up, shown))
            self.wait(10.0)
        self.assertEqual(self.logged, ["cannot read feed {name!r}"] * 2)

    def test_cannot_read_names(self) -> None:
        """An error from Redis sets ``up`` to 0, and the next reading takes place."""
        self.begin()
        self.pub.answer(b"-NOPERM no\r\n")
        self.assertEqual((self.value("up"), self.logged), (0.0, ["cannot read the feeds"]))
        self.asked()
        self.wait(10.0)
        self.assertEqual(self.asked(), [NAMES])

    def test_unexpected(self) -> None:
        """A malformed reply sets ``up`` to 0, and the next reading takes place."""
        self.begin(self.worker("a"))
        self.pub.answer(resp(["nonsense"]))
        self.assertEqual((self.value("up"), self.logged), (0.0, ["cannot read the feeds"]))
        self.asked()
        self.wait(10.0)
        self.assertEqual(self.asked(), ["a"])

    def test_names_that_are_not_utf8(self) -> None:
        """Any bytes in a feed's name can be shown."""
        name = 'a\udcff\n"\\'
        self.begin(self.worker(name))
        self.pub.answer(overview())
        page = generate_latest(self.registry).decode()
        self.assertIn('txthoonk_feed_paused{feed="a\\\\udcff\\n\\"\\\\"} 0.0\n', page)


class OutageTests(MetricsTestCase):
    def test_not_connected(self) -> None:
        """Without a connection nothing is read; a new connection starts a reading at once."""
        thoonk = self.start(health=0)
        self.metrics = Metrics(thoonk, self.worker("a"))
        self.registry = self.metrics.registry
        self.metrics.startService()
        self.addCleanup(self.metrics.stopService)
        self.assertEqual((self.value("up"), self.value("connected")), (0.0, 0.0))
        self.assertEqual(self.value("waiting_calls"), 0.0)
        self.accept_both()
        self.assertEqual(self.asked(), ["a"])
        self.pub.answer(overview())
        self.assertEqual((self.value("up"), self.value("connected")), (1.0, 1.0))
        self.assertEqual(self.value("reconnects_total"), 0.0)

    def test_lost_while_reading(self) -> None:
        """A lost connection ends the reading; the next connection starts another."""
        self.begin(self.worker("a"))
        self.lose_both()
        self.assertEqual((self.value("up"), self.shown()), (0.0, set()))
        self.wait(1.0)
        self.accept_both()
        self.assertEqual(self.asked(), ["a"])
        self.pub.answer(overview())
        self.assertEqual((self.value("up"), self.value("reconnects_total")), (1.0, 1.0))
        self.assertEqual(self.logged, ["cannot read the feeds"])

    def test_outage(self) -> None:
        """The last values are shown until the next reading finds no connection."""
        self.begin(self.worker("a"))
        self.pub.answer(overview())
        self.lose_both()
        self.assertEqual((self.value("up"), self.shown()), (1.0, {"a"}))
        self.wait(10.0)
        self.assertEqual((self.value("up"), self.shown()), (0.0, set()))
        self.assertEqual((self.value("connected"), self.value("reconnects_total")), (0.0, 0.0))

    def test_reconnects(self) -> None:
        """Each loss followed by a reconnection is counted once, whichever connection was lost."""
        self.begin(self.worker("a"))
        self.pub.answer(overview())
        for count in range(1, 4):
            self.endpoint.lose(self.sub)
            self.wait(1.0)
            self.sub = self.accept()
            self.pub.answer(overview())
            self.assertEqual(self.value("reconnects_total"), count)
        self.successResultOf(self.stop())
        self.thoonk.startService()
        self.clock.advance(0)
        self.accept_both()
        self.assertEqual(self.value("reconnects_total"), 3.0)

    def stop(self) -> Deferred[None]:
        """Stop the service, and let its peers close."""
        stopped = self.thoonk.stopService()
        self.pub.answer(b"+PONG\r\n")
        self.endpoint.hang_up_all()
        return stopped


class JobTests(MetricsTestCase):
    def test_outcomes(self) -> None:
        """Jobs are counted by feed and outcome, from 0, and their durations are recorded."""
        worker, other = self.worker("a", "b", concurrency=3), self.worker("b", concurrency=4)
        self.begin(worker, other)
        self.assertEqual(self.value("job_slots"), 7.0)
        for outcome in ("finished", "failed", "stalled", "lost", "released"):
            self.assertEqual(self.value("jobs_total", feed="b", outcome=outcome), 0.0)
            for one in (worker, other):
                (ended,) = one.ended
                ended("b", outcome, 0.25)
            self.assertEqual(self.value("jobs_total", feed="b", outcome=outcome), 2.0)
            self.assertEqual(self.value("jobs_total", feed="a", outcome=outcome), 0.0)
        self.assertEqual(self.value("job_duration_seconds_count", feed="b"), 10.0)
        self.assertEqual(self.value("job_duration_seconds_sum", feed="b"), 2.5)
        self.assertEqual(self.value("job_duration_seconds_bucket", feed="b", le="0.1"), 0.0)
        self.assertEqual(self.value("job_duration_seconds_bucket", feed="b", le="0.5"), 10.0)
        self.assertEqual(self.value("job_duration_seconds_count", feed="a"), 0.0)

    def test_feeds_as_objects(self) -> None:
        """A worker's feed may be a name or a feed object."""
        job = Job(self.come_up(health=0), "a")
        worker = Worker({job: 2.0}, handler)
        metrics = Metrics(self.thoonk, worker)
        self.registry = metrics.registry
        self.assertEqual(self.value("jobs_total", feed="a", outcome="finished"), 0.0)

    def test_running(self) -> None:
        """Running jobs are counted when the metrics are sampled."""
        worker = self.worker("a", "b")
        self.begin(worker)
        claim = Claim("id", "item", 0)
        claim.job = Job(self.thoonk, "b")
        consumer = SimpleNamespace(runs={Run(claim): None})
        worker._consumers = [consumer]  # type: ignore[list-item]
        self.assertEqual(self.value("running_jobs", feed="b"), 0.0)
        self.metrics.sample()
        self.assertEqual(self.value("running_jobs", feed="b"), 1.0)
        self.assertEqual(self.value("running_jobs", feed="a"), 0.0)
        worker._consumers = []
        self.metrics.sample()
        self.assertEqual(self.value("running_jobs", feed="b"), 0.0)


class Run:
    """A running job."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim


class SubscriptionTests(MetricsTestCase):
    def test_backlog(self) -> None:
        """Untaken events are counted, and so are the subscriptions that are full."""
        self.begin(self.worker("a"))
        idle, slow, behind = (Subscription("x", limit=limit) for limit in (1, 4, 2))
        self.thoonk._subscribing.made = dict.fromkeys([idle, slow, behind])
        for subscription, count in ((slow, 3), (behind, 2)):
            for _ in range(count):
                subscription.put(Event("publish", "x", "id", "item"))
            self.assertEqual(subscription.backlog, count)
        self.metrics.sample()
        for name, expected in (
            ("subscriptions", 3.0),
            ("subscriptions_full", 1.0),
            ("subscription_backlog_events", 5.0),
            ("subscription_longest_backlog_events", 3.0),
        ):
            self.assertEqual(self.value(name), expected, name)
        self.thoonk._subscribing.made = {}
        self.metrics.sample()
        self.assertEqual(self.value("subscription_longest_backlog_events"), 0.0)

    def test_waiting(self) -> None:
        """Gets that wait for an item and calls that wait for a connection are counted."""
        self.begin(self.worker("a"))
        job = Job(self.thoonk, "a")
        gets = [job.get(), job.get()]
        self.metrics.sample()
        self.assertEqual((self.value("waiting_gets"), self.value("waiting_calls")), (2.0, 0.0))
        self.lose_both()
        names = self.thoonk.get_feed_names()
        self.metrics.sample()
        self.assertEqual((self.value("waiting_gets"), self.value("waiting_calls")), (2.0, 1.0))
        waiting: Any
        for waiting in (*gets, names):
            waiting.addErrback(lambda _: None).cancel()
        self.metrics.sample()
        self.assertEqual((self.value("waiting_gets"), self.value("waiting_calls")), (0.0, 0.0))
