"""Each call gets its own answer while threads call at random, and connections come back.

Handlers run in more threads than the reactor's pool has. They report progress, and call methods
that a thread must not call. Meanwhile one connection reads items whose values are known. In every
round all handlers block and all connections are cut. The service, whose URL has the name of the
server, must be connected again before a handler may return.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.task import deferLater

from tests.chaos._support import in_time
from tests.support.proxy import Proxy
from tests.support.waiting import until, until_answer
from txthoonk import Thoonk, Worker
from txthoonk.errors import ConnectionLost, JobNotClaimed, ThoonkError, WrongThread
from txthoonk.testing import RedisServer, check_feed
from txthoonk.types import ThreadClaim

ROUNDS = 50
THREADS = 15  # the reactor's pool has 10
ITEMS = 100
PROGRESS = 20  # calls of each handler, at most
PATIENCE = 20.0  # seconds for what should take a fraction of one


class _Handlers:
    """The handlers, which run in threads.

    :ivar counts: word -> how often that was done or seen in a handler.
    """

    def __init__(self, reactor: Any, thoonk: Thoonk, feed: Any) -> None:
        self._reactor = reactor
        self._blocked: list[Deferred[None]] = []
        self._inside = 0
        self.let_go = threading.Event()
        self.counts: Counter[str] = Counter()
        self._forbidden: list[Callable[[ThreadClaim], Any]] = [
            lambda claim: claim.job.put("more"),
            lambda claim: claim.job.get(),
            lambda claim: feed.publish("wrong", "1"),
            lambda claim: feed.get_item("1"),
            lambda claim: thoonk.redis.get("key"),
            lambda claim: thoonk.subscribe("news"),
        ]

    def work(self, claim: ThreadClaim) -> None:
        """Work on a job, in a thread."""
        self._count("handlers")
        self._call(claim)
        self._reactor.callFromThread(self._enter)
        self.let_go.wait(2 * PATIENCE)
        self._call(claim)
        self._reactor.callFromThread(self._leave)

    def _call(self, claim: ThreadClaim) -> None:
        for number in range(random.randrange(PROGRESS)):
            if random.random() < 0.3:
                self._call_forbidden(claim)
            try:
                claim.progress(number, PROGRESS)
            except (ConnectionLost, JobNotClaimed) as error:
                self._count(type(error).__name__)
            else:
                self._count("progress")

    def _call_forbidden(self, claim: ThreadClaim) -> None:
        try:
            random.choice(self._forbidden)(claim)
        except WrongThread:
            self._count("refused")
        else:
            self._count("taken")

    def _count(self, what: str) -> None:
        self._reactor.callFromThread(self.counts.update, [what])

    def _enter(self) -> None:
        self._inside += 1
        if self._inside == THREADS:
            blocked, self._blocked = self._blocked, []
            for one in blocked:
                one.callback(None)

    def _leave(self) -> None:
        self._inside -= 1

    def all_blocked(self) -> Deferred[None]:
        """Wait until all threads are blocked."""
        waiting: Deferred[None] = Deferred()
        self._blocked.append(waiting)
        return waiting


class _Reader:
    """Reads known items on one connection until it is stopped.

    :ivar right: the number of answers that matched their calls.
    :ivar wrong: the others, with what was expected.
    """

    def __init__(self, reactor: Any, feed: Any) -> None:
        self._reactor = reactor
        self._feed = feed
        self.right = 0
        self.wrong: list[tuple[str, Any]] = []
        self.running = True

    async def run(self) -> None:
        """Read and write items."""
        while self.running:
            for number in random.sample(range(ITEMS), 20):
                await self._ask(f"item {number}", self._feed.get_item(str(number)))
            id_ = str(random.randrange(ITEMS, 2 * ITEMS))
            await self._ask(id_, self._feed.publish("another item", id_))

    async def _ask(self, expected: str, asked: Deferred[Any]) -> None:
        try:
            got = await asked.addTimeout(PATIENCE, self._reactor)
        except ConnectionLost:
            await deferLater(self._reactor, 0)
        except TimeoutError:
            raise AssertionError(f"no answer to a call: {expected}") from None
        except Exception as error:  # noqa: BLE001  (an answer of another kind is a wrong one)
            self.wrong.append((expected, error))
        else:
            if got == expected:
                self.right += 1
            else:
                self.wrong.append((expected, got))


async def _round(
    reactor: Any, endpoint: Any, proxy: Proxy, thoonk: Thoonk, job: Any, handlers: Any
) -> None:
    handlers.let_go.clear()
    blocked = handlers.all_blocked()
    finishes = (await job.stats())["finishes"]
    await job.put_many(["x"] * THREADS)
    await in_time(reactor, blocked, PATIENCE, "handlers that begin")
    for link in list(proxy.links):
        link.abort()
    await until(lambda: thoonk.state != "connected")
    await in_time(
        reactor, thoonk.whenConnected(), PATIENCE, "a connection while all handlers block"
    )
    handlers.let_go.set()
    finished = until_answer(
        endpoint, job.stats, lambda stats: stats["finishes"] >= finishes + THREADS
    )
    await in_time(reactor, finished, PATIENCE, "jobs that finish")


async def run(reactor: Any) -> str:
    """Run the scenario."""
    server = RedisServer()
    await server.start()
    proxy = Proxy(reactor, server.endpoint())
    await proxy.start()
    thoonk = Thoonk(f"redis://localhost:{proxy.port}", reactor, retry_policy=lambda _: 0.05)
    handlers: _Handlers | None = None
    try:
        await thoonk.connect()
        feed = await thoonk.feed("news")
        job = await thoonk.job("work", {"timeout": 10})
        for number in range(ITEMS):
            await feed.publish(f"item {number}", str(number))
        handlers, reader = _Handlers(reactor, thoonk, feed), _Reader(reactor, feed)
        worker = Worker(job, handlers.work, THREADS, in_thread=True, thoonk=thoonk)
        worker.startService()
        reading = Deferred.fromCoroutine(reader.run())
        for _ in range(ROUNDS):
            try:
                await _round(reactor, server.endpoint(), proxy, thoonk, job, handlers)
            except ThoonkError as error:
                raise AssertionError(f"a call of the round got {error!r}") from error
        reader.running = False
        await reading
        await worker.stopService()
        counts, stats = handlers.counts, await job.stats()
        jobs = ROUNDS * THREADS
        assert not reader.wrong, f"answers of others: {len(reader.wrong)}, {reader.wrong[:3]}"
        assert not counts["taken"], f"calls from a wrong thread that were taken: {counts}"
        assert (stats["finishes"], counts["handlers"]) == (jobs, jobs), (stats, counts)
        for name in ("news", "work"):
            assert not await check_feed(thoonk, name), name
    finally:
        if handlers is not None:
            handlers.let_go.set()
        await thoonk.close()
        await proxy.stop()
        await server.stop()
    return (
        f"{jobs} jobs, {counts['progress']} times progress, {counts['refused']} calls refused, "
        f"{reader.right} answers checked, {ROUNDS} times all connections cut"
    )
