"""Events per second and latency: subscriptions beside the least that a subscriber can be.

Run ``python benchmarks/fanout.py`` (or ``make bench``).  Every round measures, one after
the other and on the same private redis-server, how long it takes until so many events
have gone through Redis to the last handler.  A script publishes the messages, a thousand
in one call, so that the subscriber is the limit:

- ``minimal``: Twisted and hiredis, parsing messages and counting them;
- ``register_handler``: a plain handler on one channel;
- ``subscribe``: a handler of a subscription to one feed, to 100 of them, by pattern;
- the same for a feed with a history, where each event comes in two messages.

Then how long one publish takes to the handler, on an otherwise idle machine, and what
10,000 subscriptions to 10,000 feeds cost.
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import hiredis
from harness import ITEM, MINIMAL, introduce, report, run
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import Factory, Protocol

from txthoonk import Thoonk
from txthoonk.testing import RedisServer

MANY = 100  # handlers of one feed
FEEDS = 10_000
BATCH = 1000  # messages of one script call
AHEAD = 20  # calls that are under way: more would be lost, in a buffer that overflows
SAMPLES = 2000  # publishes whose way to the handler is timed

# KEYS: none. ARGV: first and last revision, epoch (empty: no history), item.
PUBLISH = """
for revision = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  local message = revision .. '\\0' .. ARGV[4]
  if ARGV[3] ~= '' then
    redis.call('PUBLISH', 'feed.event:bench',
      ARGV[3] .. '\\0' .. revision .. '\\0publish\\0' .. message)
  end
  redis.call('PUBLISH', 'feed.publish:bench', message)
end
"""


class Counter:
    """Counts calls, has the next messages published in time, and fires at the last call.

    :param each: how many calls a message makes.
    """

    def __init__(self, count: int, each: int = 1) -> None:
        self.left = count * each
        self.every = BATCH * each
        self.publish_more: Callable[[], None] = lambda: None
        self.done: Deferred[None] = Deferred()

    def __call__(self, *_: Any) -> None:
        self.left -= 1
        if not self.left % self.every:
            self.publish_more()
            if not self.left:
                self.done.callback(None)


class MinimalSubscriber(Protocol):
    """The least that a subscriber can be: parse, look at the kind, count."""

    def __init__(self) -> None:
        self.reader = hiredis.Reader(encoding="utf-8")
        self.counter: Callable[[], None] = lambda: None
        self.confirmed: Deferred[None] = Deferred()

    def ask(self, *command: str) -> Deferred[None]:
        self.confirmed = Deferred()
        self.transport.write(hiredis.pack_command(command))
        return self.confirmed

    def dataReceived(self, data: bytes) -> None:
        reader = self.reader
        reader.feed(data)
        reply = reader.gets()
        while reply is not False:
            if reply[0] == "message" or reply[0] == "pmessage":
                self.counter()
            else:
                self.confirmed.callback(None)
                self.confirmed = Deferred()
            reply = reader.gets()


async def through(thoonk: Thoonk, count: int, epoch: str, counter: Counter) -> float:
    """Publish so many events, wait for the last; events per second."""
    firsts = iter(range(1, count + 1, BATCH))

    def publish_more() -> None:
        for first in firsts:
            thoonk.redis.send("EVAL", PUBLISH, 0, first, first + BATCH - 1, epoch, ITEM)
            return

    counter.publish_more = publish_more
    begin = time.perf_counter()
    for _ in range(AHEAD):
        publish_more()
    await counter.done
    return count / (time.perf_counter() - begin)


async def minimal(server: RedisServer, thoonk: Thoonk, count: int, *command: str) -> float:
    subscriber = await server.endpoint().connect(Factory.forProtocol(MinimalSubscriber))
    await subscriber.ask(*command)
    history = command[-1] == "feed.event:bench"
    counter = subscriber.counter = Counter(count, 2 if history else 1)
    rate = await through(thoonk, count, "e" if history else "", counter)
    subscriber.transport.loseConnection()
    return rate


async def plain(thoonk: Thoonk, count: int) -> float:
    counter = Counter(count)
    id_ = await thoonk.register_handler("feed.publish:bench", counter)
    rate = await through(thoonk, count, "", counter)
    thoonk.remove_handler(id_)
    return rate


async def subscribed(
    thoonk: Thoonk, count: int, subscribe: Callable[..., Deferred[Any]], many: int, epoch: str
) -> float:
    counter = Counter(count, many)
    subscriptions = [await subscribe(handler=counter) for _ in range(many)]
    rate = await through(thoonk, count, epoch, counter)
    for subscription in subscriptions:
        await subscription.stop()
    return rate


async def rates(server: RedisServer, thoonk: Thoonk, rounds: int, count: int) -> None:
    feed = await thoonk.feed("bench")

    def one(**handler: Any) -> Deferred[Any]:
        return thoonk.subscribe(feed, **handler)

    def pattern(**handler: Any) -> Deferred[Any]:
        return thoonk.subscribe_pattern("ben*", **handler)

    found: dict[str, dict[str, list[float]]] = {}

    async def add(title: str, name: str, rate: Any) -> None:
        found.setdefault(title, {}).setdefault(name, []).append(await rate)

    channel, event = "feed.publish:bench", "feed.event:bench"
    for _ in range(rounds):
        title = "one channel, no history"
        await add(title, MINIMAL, minimal(server, thoonk, count, "SUBSCRIBE", channel))
        await add(title, "register_handler", plain(thoonk, count))
        await add(title, "subscribe", subscribed(thoonk, count, one, 1, ""))
        fewer = max(BATCH, count // 20 // BATCH * BATCH)
        await add(title, f"subscribe, {MANY} of them", subscribed(thoonk, fewer, one, MANY, ""))
        title = "by pattern, no history"
        patterns = ("PSUBSCRIBE", "feed.publish:ben*")
        await add(title, MINIMAL, minimal(server, thoonk, count, *patterns))
        await add(title, "subscribe_pattern", subscribed(thoonk, count, pattern, 1, ""))
        title = "with history (two messages an event)"
        both = ("SUBSCRIBE", channel, event)
        await add(title, MINIMAL, minimal(server, thoonk, count, *both))
        await add(title, "subscribe", subscribed(thoonk, count, one, 1, "e"))
    for title, measured in found.items():
        report(title, measured, "events")


async def latency(thoonk: Thoonk) -> None:
    """Time single publishes from the call to the handler."""
    print(f"\nlatency from publish() to the handler, {SAMPLES} one by one, in microseconds")
    for history in (0, 1000):
        feed = await thoonk.feed("late", {"history": history})
        told: list[Deferred[float]] = []
        subscription = await thoonk.subscribe(
            feed, lambda _, told=told: told.pop().callback(time.perf_counter())
        )
        times = []
        for number in range(SAMPLES):
            arrived: Deferred[float] = Deferred()
            told.append(arrived)
            begin = time.perf_counter()
            published = feed.publish(ITEM, str(number % 100))
            times.append((await arrived - begin) * 1e6)
            await published
        await subscription.stop()
        times.sort()
        name = "with history" if history else "without"
        print(
            f"{name:22}p50 {statistics.median(times):,.0f}   p99 {times[SAMPLES * 99 // 100]:,.0f}"
        )


async def many(thoonk: Thoonk) -> None:
    """Subscribe to many feeds, and see what one event costs then."""
    names = [f"many:{number}" for number in range(FEEDS)]
    feeds = await gatherResults([thoonk.feed(name) for name in names])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.perf_counter()
    counter = Counter(FEEDS)
    subscriptions = await gatherResults([thoonk.subscribe(feed, counter) for feed in feeds])
    seconds = time.perf_counter() - begin
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / FEEDS
    print(f"\n{FEEDS:,} subscriptions: {seconds:.1f} s, {grown:.1f} KiB each")
    begin = time.perf_counter()
    await gatherResults([feed.publish(ITEM) for feed in feeds])
    await counter.done
    print(f"an event for each of them: {FEEDS / (time.perf_counter() - begin):,.0f} events/s")
    for subscription in subscriptions:
        await subscription.stop()


async def measure(reactor: Any, rounds: int, calls: int) -> None:
    async with RedisServer(reactor=reactor) as server:
        thoonk = await Thoonk(server.url, reactor).connect()
        await introduce(thoonk.redis)
        await many(thoonk)
        await latency(thoonk)
        await rates(server, thoonk, rounds, calls * 4)
        await thoonk.close()


if __name__ == "__main__":
    run(measure, __doc__, sys.argv[1:])
