"""The schedule decides which of a worker's feeds are asked, watched and looked at."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txthoonk.errors import ResponseError
from txthoonk.worker._schedule import LOOK, MOST_LOOKS, MOST_UNWATCHED, UNWATCH, Schedule


class Pub:
    """A publisher whose looks the test answers."""

    def __init__(self) -> None:
        self.redis = self
        self.looks: list[tuple[list[str], Deferred[Any]]] = []

    def call(self, script: Any, command: tuple[Any, ...], encoding: Any) -> Deferred[Any]:
        """Record the feeds of a look."""
        looked: Deferred[Any] = Deferred()
        self.looks.append(([key.partition(":")[2] for key in command[3::2]], looked))
        return looked


class Pump:
    """A feed that records what the schedule makes it do.

    :cvar done: the number of calls of each kind, for all feeds.
    """

    weight = 1.0
    open = free = True
    done: Counter[str] = Counter()

    def __init__(self, schedule: Any, pub: Pub, name: str) -> None:
        self.schedule = schedule
        self.name = name
        self.pub = pub
        self.job: Any = self
        self.unbegun: deque[Any] = deque()
        self.ready = self.watched = False
        self.asked = 0

    def call(self, claim: int) -> None:
        """Record a call."""
        self.asked += claim
        self.schedule.asked += claim
        self.done["call"] += 1

    def watch(self) -> None:
        """Record a watch."""
        self.watched = True
        self.done["watch"] += 1

    def unwatch(self) -> None:
        """Record the end of a watch."""
        self.watched = False
        self.done["unwatch"] += 1


class ScheduleTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.pub = Clock(), Pub()
        self.patch(Pump, "done", Counter())
        self.soon = 0

    def make(self, count: int, concurrency: int = 1) -> None:
        """Create a schedule of some feeds, and begin."""
        self.schedule: Schedule[Any] = Schedule(concurrency, count > 1, self.clock, self.call_soon)
        self.pumps: list[Any] = [
            Pump(self.schedule, self.pub, f"f{number}") for number in range(count)
        ]
        for pump in self.pumps:
            self.schedule.add(pump)
        self.schedule.fill()

    def call_soon(self) -> None:
        self.soon += 1

    def answer(self, *found: str) -> list[str]:
        """Answer the pending look; return its feeds."""
        names, looked = self.pub.looks.pop(0)
        looked.callback([names.index(name) for name in found if name in names])
        self.schedule.fill()
        return names

    def looked(self, *found: str) -> None:
        """Answer all looks."""
        while self.pub.looks:
            self.answer(*found)

    def asked(self) -> list[str]:
        """Return the feeds that were asked, once for each job, and forget them."""
        asked = []
        for pump in self.pumps:
            asked += [pump.name] * pump.asked
            pump.asked = 0
        return asked

    def got(self, name: str, claim: int = 1, got: int = 1) -> None:
        """Answer a call with *got* jobs, which begin at once."""
        self.schedule.answered(self.pump(name), claim, got, got == claim)
        self.schedule.working += got
        self.schedule.fill()

    def ended(self) -> None:
        """End a job."""
        self.schedule.working -= 1
        self.schedule.fill()

    def pump(self, name: str) -> Any:
        return self.pumps[int(name[1:])]

    def watched(self) -> list[str]:
        return [pump.name for pump in self.pumps if pump.watched]

    def came(self, name: str) -> bool:
        """Deliver a job to a watched feed, as a pump does; return whether there is room."""
        pump = self.pump(name)
        pump.watched, pump.ready = False, True
        room = self.schedule.came(pump)
        self.schedule.update(pump)
        self.schedule.working += room
        self.schedule.fill()
        return room


class BeginTests(ScheduleTestCase):
    def test_one(self) -> None:
        """A single feed is asked at once for as many jobs as there is room for, then watched."""
        self.make(1, 5)
        self.assertEqual((self.asked(), self.pub.looks), (["f0"] * 5, []))
        self.got("f0", 5, 2)
        self.assertEqual((self.asked(), self.watched()), ([], ["f0"]))

    def test_none_has_jobs(self) -> None:
        """Several feeds are looked at, many in one call; feeds without jobs are watched."""
        for count in (3, 30, 300):
            self.make(count)
            looks = 0
            while self.pub.looks:
                self.answer()
                looks += 1
            self.assertEqual(looks, -(-count // MOST_LOOKS))
            self.assertEqual((len(self.watched()), self.asked()), (count, []))
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_all_have_jobs(self) -> None:
        """When all feeds have jobs, each is asked once before any is asked again."""
        for count in (3, 30, 300):
            for concurrency in (1, 3):
                self.make(count, concurrency)
                names = [pump.name for pump in self.pumps]
                order: list[str] = []
                while len(order) < 2 * count:
                    self.looked(*names)
                    for name in self.asked():
                        order.append(name)
                        self.got(name)
                        self.clock.advance(LOOK)
                        self.ended()
                self.assertCountEqual(order[:count], names)
                self.assertCountEqual(order[count : 2 * count], names)
                self.assertEqual(self.watched(), [])

    def test_last_one(self) -> None:
        """A job of the last feed is asked for at once, while other feeds are watched."""
        self.make(300)
        self.looked("f299")
        self.assertEqual(self.asked(), ["f299"])
        self.assertEqual(len(self.watched()), 200)

    def test_cannot_look(self) -> None:
        """When a look fails, all its feeds are asked: a feed can handle the error."""
        self.make(3)
        self.pub.looks.pop()[1].errback(ResponseError("NOPERM"))
        self.schedule.fill()
        self.assertEqual(self.asked(), ["f0"])
        for one, following in (("f0", ["f1"]), ("f1", ["f2"]), ("f2", [])):
            self.got(one, 1, 0)
            self.assertEqual(self.asked(), following)
        self.assertEqual(self.watched(), ["f2"])
        self.assertEqual(self.answer(), ["f0", "f1"])
        self.assertEqual(self.watched(), ["f0", "f1", "f2"])

    def test_two_publishers(self) -> None:
        """The feeds of each publisher are looked at on its connection."""
        self.make(0)
        other = Pub()
        self.schedule = Schedule(1, True, self.clock, self.call_soon)
        self.pumps = [Pump(self.schedule, self.pub, "f0"), Pump(self.schedule, other, "f1")]
        for pump in self.pumps:
            self.schedule.add(pump)
        self.schedule.fill()
        self.assertEqual(
            [[names for names, _ in pub.looks] for pub in (self.pub, other)], [[["f0"]], [["f1"]]]
        )


class WatchTests(ScheduleTestCase):
    def test_stay(self) -> None:
        """While one feed is asked, the others stay watched."""
        self.make(3)
        self.looked()
        self.assertTrue(self.came("f1"))
        self.ended()
        self.assertEqual((self.asked(), self.watched()), (["f1"], ["f0", "f2"]))
        self.got("f1", 1, 0)
        self.assertEqual(self.watched(), ["f0", "f1", "f2"])
        self.assertEqual(self.pub.looks, [])

    def test_no_room(self) -> None:
        """A job that a watch finds while there is no room is asked for as soon as there is."""
        self.make(3)
        self.looked()
        self.assertTrue(self.came("f0"))
        self.assertFalse(self.came("f2"))
        self.assertEqual(self.asked(), [])
        self.ended()
        self.assertEqual(self.asked(), ["f2"])

    def test_taken_back(self) -> None:
        """When jobs take all the room for a while, watches are ended, a few at a time."""
        self.make(3 * MOST_UNWATCHED)
        self.looked()
        self.came("f0")
        for left in (2 * MOST_UNWATCHED - 1, MOST_UNWATCHED - 1, 0):
            self.clock.advance(UNWATCH)
            for pump in self.pumps[1:]:
                if not pump.watched and not pump.ready:
                    self.schedule.watch_ended(pump)
            self.schedule.fill()
            self.assertEqual(len(self.watched()), left)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_soon_room_again(self) -> None:
        """Jobs that end soon end no watch."""
        self.make(30)
        self.looked()
        for _ in range(100):
            self.came("f0")
            self.clock.advance(0.8 * UNWATCH)
            self.ended()
            self.asked()
            self.got("f0", 1, 0)
            self.clock.advance(0.5 * UNWATCH)
        self.assertEqual(self.pump("f0").done["unwatch"], 0)
        self.assertEqual(len(self.watched()), 30)

    def test_after_a_failure(self) -> None:
        """A feed whose watch ended without a job is watched again, if it is open."""
        self.make(3)
        self.looked()
        for open_ in (True, False):
            pump = self.pump("f1")
            pump.watched, pump.open = False, open_
            self.schedule.watch_ended(pump)
            self.schedule.fill()
            self.assertIs(pump.watched, open_)

    def test_stopped(self) -> None:
        """After a stop no job is claimed, and nothing is scheduled."""
        self.make(3)
        self.looked()
        self.came("f0")
        self.schedule.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.ended()
        self.assertFalse(self.came("f1"))
        self.assertEqual((self.asked(), self.pub.looks), ([], []))


class BusyTests(ScheduleTestCase):
    """The first feed has a backlog, and its jobs take all the room."""

    def busy(self, count: int) -> None:
        self.make(count)
        self.looked("f0")
        self.assertEqual(self.asked(), ["f0"])
        self.clock.advance(LOOK)
        self.got("f0")

    def job(self) -> list[str]:
        """End the job, and begin the next one of each feed that is asked; return these feeds."""
        self.ended()
        asked = self.asked()
        for name in asked:
            self.got(name)
        return asked

    def test_looks(self) -> None:
        """Feeds that are not watched are looked at: one look at a time, at intervals."""
        self.busy(300)
        self.assertEqual(len(self.pub.looks), 1)
        for _ in range(5):
            self.job()
        self.assertEqual(len(self.pub.looks), 1)
        first = self.answer()
        self.job()
        self.assertEqual(self.pub.looks, [])
        self.clock.advance(LOOK)
        self.job()
        second = self.answer()
        self.assertEqual((len(first), len(second)), (MOST_LOOKS, MOST_LOOKS))
        self.assertFalse(set(first) & set(second))

    def test_longest_ago_first(self) -> None:
        """All feeds are looked at in turn, starting with those that were looked at longest ago."""
        self.busy(251)
        seen: list[str] = []
        for _ in range(5):
            seen += self.answer()
            self.clock.advance(2 * LOOK)
            self.job()
        names = [pump.name for pump in (*self.pumps[MOST_LOOKS:], *self.pumps[1:MOST_LOOKS])]
        self.assertEqual(seen, names + names)

    def test_found(self) -> None:
        """A job that a look found in another feed is the next one to begin."""
        self.busy(300)
        self.answer("f107", "f109")
        self.assertEqual([self.job() for _ in range(3)], [["f107"], ["f109"], ["f0"]])

    def test_in_vain(self) -> None:
        """Feeds whose jobs are always taken by other workers do not delay the others."""
        self.make(100)
        names = [pump.name for pump in self.pumps]
        self.looked(*names)
        order = []
        for _ in range(400):
            (name,) = self.asked()
            order.append(name)
            if name == "f0":
                self.got(name)
                self.ended()
            else:
                self.got(name, 1, 0)
                self.clock.advance(LOOK)
                self.looked(*names)
        self.assertTrue(order.count("f0") >= 4, order.count("f0"))

    def test_calls_in_flight(self) -> None:
        """A feed whose calls are answered slowly gets its share."""
        self.patch(Pump, "weight", 3.0)
        self.make(2)
        self.looked()
        self.pump("f1").weight = 1.0
        self.schedule = Schedule(1, True, self.clock, self.call_soon)
        for pump in self.pumps:
            pump.schedule, pump.watched, pump.ready = self.schedule, False, True
            self.schedule.add(pump)
            self.schedule.update(pump)
        counts: Counter[str] = Counter()
        for number in range(400):
            self.pumps[0].free = number % 20 >= 4
            self.schedule.update(self.pumps[0])
            self.schedule.fill()
            (name,) = self.asked()
            counts[name] += 1
            self.got(name)
            self.schedule.working -= 1
        self.assertTrue(295 <= counts["f0"] <= 305, counts)

    def test_work(self) -> None:
        """The work for a job does not depend on the number of feeds."""
        done = {}
        for count in (10, 1000):
            self.busy(count)
            self.answer()
            self.patch(Pump, "done", Counter())
            for _ in range(50):
                self.job()
            done[count] = Counter(Pump.done)
        self.assertEqual(done[10], done[1000])
        self.assertEqual(done[10], {"call": 50})
