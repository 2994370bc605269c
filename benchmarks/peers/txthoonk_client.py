"""txthoonk, as a client: see ``client.py``.

It uses the service ``Thoonk``, and the verbs of its feeds.  It has its own order
``{"do": "open", "type": T, "config": {...}}``, which opens the feed, and its own ways to listen:
``register_handler``, ``subscribe`` (with a number of ``handlers``) and ``subscribe_pattern``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from client import ITEM, Counter, Delays, Order, new_number, old_id, url
from deferring import Call, make_calls, one_by_one, run
from twisted.internet.defer import Deferred, gatherResults

from txthoonk import Thoonk

NAME = "bench"
RANGE = 100  # items of a get_range


def publish(feed: Any, _: int) -> Call:
    return lambda number: feed.publish(ITEM, new_number(number))


def edit(feed: Any, spread: int) -> Call:
    return lambda _: feed.publish(ITEM, old_id(spread))


def retract(feed: Any, _: int) -> Call:
    return lambda number: feed.retract(new_number(number))


def get_item(feed: Any, spread: int) -> Call:
    return lambda _: feed.get_item(old_id(spread))


def put_job(job: Any, _: int) -> Call:
    return lambda number: job.put(ITEM, id_=new_number(number))


def put_get(queue: Any, _: int) -> Call:
    return lambda _: queue.put(ITEM).addCallback(lambda _: queue.get())


def get_finish(job: Any, _: int) -> Call:
    return lambda _: job.get().addCallback(job.finish)


def put_many(feed: Any, count: int) -> Call:
    return lambda _: feed.put_many(ITEM for _ in range(count))


def move_before(feed: Any, spread: int) -> Call:
    return lambda _: feed.move_before(old_id(spread), old_id(spread))


def publish_before(feed: Any, spread: int) -> Call:
    return lambda _: feed.publish_before(old_id(spread), ITEM)


#: Functions that make the calls of a verb, from the feed and the order's spread.
VERBS: dict[str, Callable[[Any, int], Call]] = {
    "feed.publish": publish,
    "feed.publish_random": lambda feed, _: lambda _: feed.publish(ITEM),
    "feed.edit": edit,
    "feed.retract": retract,
    "feed.get_item": get_item,
    "feed.get_range": lambda feed, _: lambda _: feed.get_range(0, RANGE - 1),
    "feed.get_all": lambda feed, _: lambda _: feed.get_all(),
    "sorted_feed.append": lambda feed, _: lambda _: feed.append(ITEM),
    "sorted_feed.edit": lambda feed, spread: lambda _: feed.edit(old_id(spread), ITEM),
    "sorted_feed.get_item": get_item,
    "sorted_feed.retract": lambda feed, spread: lambda _: feed.retract(old_id(spread)),
    "sorted_feed.publish_before": publish_before,
    "sorted_feed.move_before": move_before,
    "queue.put": lambda queue, _: lambda _: queue.put(ITEM),
    "queue.get": lambda queue, _: lambda _: queue.get(),
    "queue.put_get": put_get,
    "queue.put_many": put_many,
    "job.put": put_job,
    "job.put_many": put_many,
    "job.get_finish": get_finish,
}


class Client:
    """Follows orders, on one feed at a time."""

    def __init__(self, thoonk: Thoonk) -> None:
        self._thoonk = thoonk
        self._feed: Any = None

    async def open(self, order: Order) -> AsyncIterator[Any]:
        self._feed = await getattr(self._thoonk, order["type"])(NAME, order["config"])
        yield {}

    async def calls(self, order: Order) -> AsyncIterator[Any]:
        call = VERBS[order["verb"]](self._feed, order["spread"])
        made = await make_calls(order, call)
        await self._thoonk.redis.ping()  # after the commands that no call waited for
        yield made

    async def listen(self, order: Order) -> AsyncIterator[Any]:
        end: Deferred[float] = Deferred()
        counter = Counter(order["events"], end.callback)
        stop = await getattr(self, f"_{order['way']}")(order, counter)
        yield {"ready": True}
        yield {"end": await end}
        await stop()

    async def late(self, order: Order) -> AsyncIterator[Any]:
        delays = Delays()
        subscription = await self._thoonk.subscribe(self._feed, delays)
        yield await one_by_one(order, delays, publish(self._feed, 0))
        await subscription.stop()

    async def _register_handler(self, order: Order, counter: Counter) -> Callable[..., Any]:
        (channel,) = order["channels"]
        id_ = await self._thoonk.register_handler(channel, counter)

        async def stop() -> None:
            self._thoonk.remove_handler(id_)

        return stop

    async def _subscribe(self, order: Order, counter: Counter) -> Callable[..., Any]:
        handlers = range(order["handlers"])
        found = [await self._thoonk.subscribe(NAME, counter) for _ in handlers]
        return lambda: gatherResults([subscription.stop() for subscription in found])

    async def _subscribe_pattern(self, order: Order, counter: Counter) -> Callable[..., Any]:
        subscription = await self._thoonk.subscribe_pattern(f"{NAME[:-1]}*", counter)
        return subscription.stop


async def connect(reactor: Any) -> dict[str, Any]:
    client = Client(await Thoonk(url(), reactor).connect())
    orders = ("open", "calls", "listen", "late")
    return {order: getattr(client, order) for order in orders}


if __name__ == "__main__":
    run(connect)
