"""A big feed in use: however much is read, dropped or deleted, no step takes long.

``CHAOS_ITEMS`` is the number of items of the feed (200,000). Publishers, a mirror and readers run
while ``max_length`` is lowered to ten, and while a job feed is deleted that has kept results (a
tenth of that number) and receives puts.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from txthoonk import Thoonk
from txthoonk.errors import FeedDoesNotExist
from txthoonk.protocol._client import RedisProtocol
from txthoonk.testing import RedisServer, check_feed
from txthoonk.wire._keys import kept_result_key

ITEMS = int(os.environ.get("CHAOS_ITEMS", "200000"))
MOST = 9010  # words in one command or reply, such as 1000 events of a history and its position
DROPPED = 501  # most items that one step drops
SLOW = 5000  # microseconds from which the server records a command


class Use:
    """Programs that run until they are stopped."""

    def __init__(self) -> None:
        self.going_on = True
        self.counts: dict[str, int] = {}
        self._programs: list[Deferred[None]] = []

    def begin(self, name: str, step: Any) -> None:
        """Repeat a step."""

        async def run() -> None:
            while self.going_on:
                await step()
                self.counts[name] = self.counts.get(name, 0) + 1

        self._programs.append(Deferred.fromCoroutine(run()))

    async def stop(self) -> None:
        """Stop all programs, and fail if one has failed."""
        self.going_on = False
        programs, self._programs = self._programs, []
        await gatherResults(programs)


async def fill(thoonk: Thoonk, feed: Any) -> None:
    """Store items in the way a publish does."""
    send = thoonk.redis.send
    for first in range(0, ITEMS, 1000):
        ids = [f"{number:07}" for number in range(first, min(first + 1000, ITEMS))]
        await gatherResults(
            [
                send("ZADD", feed.feed_ids, *[w for i in ids for w in (1e12 + int(i), i)]),
                send("HSET", feed.feed_items, *[w for i in ids for w in (i, "x" * 20)]),
                send("INCRBY", feed.feed_publishes, len(ids)),
            ]
        )


async def keep_results(thoonk: Thoonk, name: str) -> None:
    """Keep results in the way a worker does."""
    expires = int(time.time() * 1000) + 3_600_000
    for first in range(0, ITEMS // 10, 1000):
        ids = [str(number) for number in range(first, min(first + 1000, ITEMS // 10))]
        kept = [thoonk.redis.send("RPUSH", kept_result_key(name, i), "result", "x") for i in ids]
        words = [word for id_ in ids for word in (expires, id_)]
        await gatherResults([*kept, thoonk.redis.send("ZADD", f"feed.results:{name}", *words)])


class Counted:
    """Measures the size of commands and replies, and the time that the server reports for them."""

    def __init__(self, thoonk: Thoonk) -> None:
        self.most = 0
        self._send = thoonk.redis.send
        self._request, self._replied = RedisProtocol._transmit, RedisProtocol._replyReceived
        RedisProtocol._transmit = lambda *call: self._sent(*call)  # type: ignore[method-assign]
        RedisProtocol._replyReceived = lambda *call: self._got(*call)  # type: ignore[method-assign]

    def end(self) -> None:
        """Stop the measurement."""
        RedisProtocol._transmit = self._request  # type: ignore[method-assign]
        RedisProtocol._replyReceived = self._replied  # type: ignore[method-assign]

    def _sent(self, redis: Any, waiting: Any, packed: bytes, *rest: Any) -> None:
        self.most = max(self.most, int(packed[1 : packed.index(b"\r")]))
        self._request(redis, waiting, packed, *rest)

    def _got(self, redis: Any, reply: Any) -> None:
        self.most = max(self.most, words(reply))
        self._replied(redis, reply)

    async def longest(self, what: str) -> float:
        """Return the milliseconds of the longest step since the last call; check its size."""
        if self.most > MOST:
            raise AssertionError(f"{what}: {self.most} words at a time")
        entries = await self._send("SLOWLOG", "GET", 128)
        await self._send("SLOWLOG", "RESET")
        self.most = 0
        return max([entry[2] / 1000 for entry in entries], default=0.0)

    async def calls(self) -> int:
        """Return the number of script calls."""
        text = await self._send("INFO", "commandstats")
        return int(text.split("cmdstat_evalsha:calls=")[1].split(",")[0])


def words(reply: Any) -> int:
    """Count the words of a reply."""
    return sum(map(words, reply)) if isinstance(reply, list) else 1


async def run(reactor: Any) -> str:
    server = RedisServer(reactor=reactor)
    await server.start()
    thoonk, other = Thoonk(server.url, reactor), Thoonk(server.url, reactor)
    try:
        await gatherResults([thoonk.connect(), other.connect()])
        return await scenario(reactor, thoonk, other)
    finally:
        await gatherResults([thoonk.close(), other.close()])
        await server.stop()


async def scenario(reactor: Any, thoonk: Thoonk, other: Thoonk) -> str:
    await thoonk.redis.send("CONFIG", "SET", "slowlog-log-slower-than", SLOW)
    log = await thoonk.feed("log", {"history": 1000})
    await thoonk.job("work", {"keep_results_for": 3600})
    await fill(thoonk, log)
    await keep_results(thoonk, "work")
    await log.publish("the first")
    await thoonk.redis.send("SLOWLOG", "RESET")
    counted, use = Counted(thoonk), Use()
    try:
        return await in_use(reactor, thoonk, other, counted, use)
    finally:
        counted.end()
        await use.stop()


async def in_use(reactor: Any, thoonk: Thoonk, other: Thoonk, counted: Counted, use: Use) -> str:
    log, job = await thoonk.feed("log"), await thoonk.job("work")
    pause = 0.0
    readers = await other.feed("log")

    async def put() -> None:
        with suppress(FeedDoesNotExist):
            await other_job.put("x")

    async def look() -> None:
        nonlocal pause
        begun = reactor.seconds()
        await other.redis.send("PING")
        pause = max(pause, reactor.seconds() - begun)

    other_job = await other.job("work")
    use.begin("publishes", lambda: log.publish("x" * 20))
    use.begin("puts", put)
    use.begin("looks", look)
    all_items, all_ids = await readers.get_all(), await readers.get_ids()
    if not ITEMS <= len(all_items) <= len(all_ids):
        raise AssertionError(f"get_all had {len(all_items)} items, get_ids {len(all_ids)}")
    reading = await counted.longest("get_all and get_ids")
    mirror = await other.mirror("log")
    mirrored = await counted.longest("mirror")

    calls = await counted.calls()
    await log.set_config({"max_length": 10})
    await log.publish("one more")
    length, calls = await log.length(), await counted.calls() - calls
    if length != 10 or calls < ITEMS // DROPPED:
        raise AssertionError(f"{length} items where max_length is 10, after {calls} scripts")
    lowering = await counted.longest("max_length lowered")

    await job.delete_feed()
    left = [key for key in await thoonk.redis.send("KEYS", "*") if "work" in key]
    if left:
        raise AssertionError(f"the deleted feed left {len(left)} keys")
    deleting = await counted.longest("deletion")
    await use.stop()

    caught_up: Deferred[None] = Deferred()
    mirror.on_change(lambda event: event.id == "last" and caught_up.callback(None))
    await log.publish("the last", "last")
    await caught_up
    if list(mirror) != await log.get_ids():
        raise AssertionError("the mirror has not what the feed has")
    faults = await check_feed(thoonk, "log")
    if faults:
        raise AssertionError(f"{faults}")
    return (
        f"{ITEMS} items; longest step reading {reading:.0f} ms, for a mirror "
        f"{mirrored:.0f} ms, lowering max_length {lowering:.0f} ms, deleting "
        f"{deleting:.0f} ms (below {SLOW / 1000:.0f} is 0); longest wait of another client "
        f"{1000 * pause:.0f} ms; {use.counts}"
    )
