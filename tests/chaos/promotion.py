"""Masters are replaced while the old ones live on: no item is lost, doubled or left over.

There are two servers, and one name that leads to the master. Waiting gets, workers and a
subscription use queues, jobs and a feed with a history by that name. Several times the replica is
promoted, the name leads to it, and the old master becomes its replica. Each accepted item must be
delivered once, an item that a replica refused is put again, and all connections must move to the
new master.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.task import deferLater

from tests.support.failover_support import Pair
from tests.support.waiting import until
from txthoonk import Thoonk
from txthoonk.errors import ConnectionLost, NotSent, ResponseError, ThoonkError
from txthoonk.events import Event
from txthoonk.testing import check_feed
from txthoonk.types import Claim
from txthoonk.worker import Worker

ROUNDS = 5
EACH = 60  # items of each kind that are delivered in a round
CONSUMERS = 4
LONGEST = 50.0  # seconds
PACE = 0.002  # seconds from one put to the next


class Traffic:
    """The items that are put, taken, worked on and received."""

    def __init__(self, reactor: Any, pair: Pair) -> None:
        self._reactor = reactor
        self._pair = pair
        self.accepted: dict[str, set[str]] = {"q": set(), "j": set(), "f": set()}
        self.doubtful: dict[str, set[str]] = {"q": set(), "j": set(), "f": set()}
        self.refused = 0
        self.got: Counter[str] = Counter()
        self.worked: Counter[str] = Counter()
        self.heard: list[Event] = []
        self.producing = True
        self._services: list[Thoonk] = []

    async def connect(self) -> Thoonk:
        thoonk = Thoonk(self._pair.url, self._reactor, retry_policy=lambda n: min(0.05 * n, 1.0))
        self._services.append(thoonk)
        return await thoonk.connect()

    async def start(self) -> None:
        self.producer, self.consumer = await self.connect(), await self.connect()
        self.queue = await self.producer.queue("q")
        self.job = await self.producer.job("j", {"timeout": 60})
        self.feed = await self.producer.feed("f", {"history": 10_000})
        self.subscription = await self.consumer.subscribe("f", self.heard.append, limit=100_000)
        self._worker = Worker(await self.consumer.job("j"), self.work, 3)
        self._worker.startService()
        queue = await self.consumer.queue("q")
        self.consuming = [Deferred.fromCoroutine(self.consume(queue)) for _ in range(CONSUMERS)]
        self.putting = [
            Deferred.fromCoroutine(self.put("q", lambda item: self.queue.put(item))),
            Deferred.fromCoroutine(self.put("j", lambda item: self.job.put(item, id_=item))),
            Deferred.fromCoroutine(self.put("f", lambda item: self.feed.publish(item, item))),
        ]

    async def put(self, kind: str, call: Any) -> None:
        """Put items. An item that a replica refuses is put again."""
        number = 0
        while self.producing:
            number += 1
            item = f"{kind}{number}"
            while True:
                try:
                    await call(item)
                except NotSent:
                    self.refused += 1
                except ConnectionLost:
                    self.doubtful[kind].add(item)
                    break
                except ResponseError as error:
                    assert error.code == "READONLY", error
                    self.refused += 1
                else:
                    self.accepted[kind].add(item)
                    break
            await deferLater(self._reactor, PACE)

    async def consume(self, queue: Any) -> None:
        while True:
            self.got[await queue.get()] += 1

    def work(self, claim: Claim) -> Deferred[None]:
        self.worked[claim.id] += 1
        return deferLater(self._reactor, PACE)

    def counts(self) -> tuple[int, int, int]:
        """Count the items, jobs and events that were delivered."""
        return sum(self.got.values()), sum(self.worked.values()), len(self.heard)

    async def go_on(self) -> None:
        """Wait until EACH more of each kind are delivered."""
        before = self.counts()
        await until(
            lambda: all(
                now >= then + EACH for now, then in zip(self.counts(), before, strict=True)
            )
        )

    async def finish(self) -> None:
        """Stop putting, and wait until everything is delivered."""
        self.producing = False
        for putting in self.putting:
            await putting
        events = self.accepted["f"]
        await until(
            lambda: (
                self.accepted["q"] <= set(self.got)
                and self.accepted["j"] <= set(self.worked)
                and events <= {event.id for event in self.heard}
            )
        )
        await self._worker.stopService()

    async def stop(self) -> None:
        self.producing = False
        for one in getattr(self, "consuming", []) + getattr(self, "putting", []):
            one.addErrback(lambda reason: reason.trap(CancelledError, ThoonkError))
            one.cancel()
        for thoonk in self._services:
            await thoonk.close()


async def run(reactor: Any) -> str:
    pair = Pair(reactor)
    traffic = Traffic(reactor, pair)
    try:
        await pair.start()
        playing = Deferred.fromCoroutine(play(pair, traffic))
        return await playing.addTimeout(LONGEST, reactor)
    except TimeoutError:
        raise AssertionError(
            f"stuck at {traffic.counts()} after {traffic.refused} refusals"
        ) from None
    finally:
        await traffic.stop()
        await pair.stop()


async def play(pair: Pair, traffic: Traffic) -> str:
    await traffic.start()
    for number in range(ROUNDS):
        await traffic.go_on()
        await pair.promote(name=number % 2 == 0)
        if number % 2:  # the name follows after the clients have left the old master
            await until(lambda: traffic.producer.state == "disconnected")
            pair.rename()
    await traffic.go_on()
    await traffic.finish()
    await followed(pair, traffic)
    await check(pair, traffic)
    got, worked, heard = traffic.counts()
    doubtful = sum(map(len, traffic.doubtful.values()))
    return (
        f"{ROUNDS} promotions: {got} items, {worked} jobs, {heard} events, each once; "
        f"{traffic.refused} calls refused, {doubtful} in doubt"
    )


async def followed(pair: Pair, traffic: Traffic) -> None:
    """Check that all connections are with the current master, and that the gets wait there."""
    await until(lambda: traffic.producer.state == traffic.consumer.state == "connected")
    await pair.has_clients(pair.replica, 0)
    await pair.blocked(pair.master)


async def check(pair: Pair, traffic: Traffic) -> None:
    """Check that each item was delivered once, and none is left."""
    for kind, delivered in (("q", traffic.got), ("j", traffic.worked)):
        twice = [item for item, count in delivered.items() if count > 1]
        assert not twice, f"delivered twice: {twice}"
        unknown = set(delivered) - traffic.accepted[kind] - traffic.doubtful[kind]
        assert not unknown, f"never put: {unknown}"
    resyncs = [event.reason for event in traffic.heard if event.kind == "resync"]
    assert not resyncs, resyncs
    ids = [event.id for event in traffic.heard]
    assert len(ids) == len(set(ids)), "events were told twice"
    stats = await traffic.job.stats()
    finished = (stats["available"], stats["claimed"], stats["stalled"], stats["finishes"])
    assert finished == (0, 0, 0, len(traffic.worked)), stats
    for part in ("ids", "transit", "delivering", "items"):
        left = await pair.ask(pair.master, "EXISTS", f"feed.{part}:q")
        assert not left, f"feed.{part}:q is left"
    for name in ("q", "j", "f"):
        found = await check_feed(traffic.producer, name)
        assert not found, found
