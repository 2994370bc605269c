"""An exception of a user's function, of any class, stops nothing but that call."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory

from tests.support import Recorder
from tests.support.waiting import until
from tests.support.worker import HOUR, WorkerTestCase
from txthoonk import errors
from txthoonk.protocol import RedisSubscriber
from txthoonk.serializers import _registry, register_serializer
from txthoonk.types import Claim

# Exceptions that end a program or a coroutine elsewhere, and an ordinary one.
KINDS: tuple[type[BaseException], ...] = (
    SystemExit,
    KeyboardInterrupt,
    GeneratorExit,
    asyncio.CancelledError,
    ZeroDivisionError,
)
NAMES = [kind.__name__ for kind in KINDS]


def raising(name: str) -> Any:
    """Raise the exception that an item names."""
    raise KINDS[NAMES.index(name)](name)


class Picky:
    """A serializer that raises the exception that an item names."""

    binary = False
    reads = writes = True

    def dumps(self, item: Any) -> str:
        return item if self.writes or item not in NAMES else raising(item)

    def loads(self, data: str) -> str:
        return data if self.reads or data not in NAMES else raising(data)


class Pickled:
    """An object that raises a named exception while it is pickled or unpickled."""

    def __init__(self, at_load: str | None, at_dump: str | None = None) -> None:
        self.names = at_load, at_dump

    def __reduce__(self) -> Any:
        at_load, at_dump = self.names
        return (raising, (at_load,)) if at_dump is None else raising(at_dump)


class RaisingTestCase(WorkerTestCase):
    async def logs(self, *names: str) -> None:
        """Wait for the logged failures, and check that they have these names in this order."""
        await until(lambda: len(self.failures()) >= len(names))
        self.assertEqual([failure.type.__name__ for failure in self.failures()], list(names))
        self.flushLoggedErrors(*KINDS)
        self.logged.clear()

    def failures(self) -> list[Any]:
        return [event["log_failure"] for event in self.logged if "log_failure" in event]


class HandlerTests(RaisingTestCase):
    """A handler that raises is still called for the next event."""

    def handlers(self, heard: Recorder) -> Iterator[Any]:
        """Make one handler of each kind, which records an item and raises what the item names."""

        def plain(item: str) -> None:
            heard(item)
            raising(item)

        async def coroutine(item: str) -> None:
            heard(item)
            raising(item)

        def deferred(item: str) -> Deferred[None]:
            heard(item)
            return fail(KINDS[NAMES.index(item)](item))

        yield from (plain, coroutine, deferred)

    async def test_subscription(self) -> None:
        """A subscription calls its handler again after an exception."""
        feed = await self.thoonk.feed("f")
        heard = Recorder()
        for handler in self.handlers(heard):
            heard.calls.clear()
            subscription = await self.thoonk.subscribe(
                "f",
                lambda event, handler=handler: handler(event.item),  # type: ignore[misc]
            )
            for name in NAMES:
                await feed.publish(name, "id")
            await heard.wait(len(NAMES))
            self.assertEqual([item for (item,) in heard.calls], NAMES)
            await self.logs(*NAMES)
            await subscription.stop()

    async def test_channel(self) -> None:
        """A channel's handler that raises is called again, and so are the channel's others."""
        feed = await self.thoonk.feed("f")
        heard, other = Recorder(), Recorder()
        for handler in self.handlers(heard):
            heard.calls.clear()
            other.calls.clear()
            ids = [
                await self.thoonk.register_handler("feed.publish:f", one)
                for one in (lambda _, item, handler=handler: handler(item), other)
            ]
            for name in NAMES:
                await feed.publish(name, name)
                await feed.retract(name)
            await heard.wait(len(NAMES))
            await other.wait(len(NAMES))
            await self.logs(*NAMES)
            for id_ in ids:
                self.thoonk.remove_handler(id_)

    async def test_alone_on_a_channel(self) -> None:
        """The only handler of a channel, which has a call path of its own, is called again."""
        feed = await self.thoonk.feed("f")
        heard = Recorder()
        for handler in self.handlers(heard):
            heard.calls.clear()
            id_ = await self.thoonk.register_handler(
                "feed.publish:f", lambda _, item, handler=handler: handler(item)
            )
            for name in NAMES:
                await feed.publish(name, name)
                await feed.retract(name)
            await heard.wait(len(NAMES))
            await self.logs(*NAMES)
            self.thoonk.remove_handler(id_)

    async def test_hooks_of_a_connection(self) -> None:
        """A subscriber's overridden methods may raise; the connection stays."""
        heard = Recorder()

        class Hooks(RedisSubscriber):
            def messageReceived(self, channel: str, message: str) -> None:
                heard(message)
                raising(message)

        hooks = await self.connect(Factory.forProtocol(lambda: Hooks(**self.arguments())))
        hooks.subscribe("channel")
        await hooks.send("PING")
        for name in NAMES:
            await self.raw.publish("channel", name)
        await heard.wait(len(NAMES))
        await self.logs(*NAMES)
        self.assertEqual(await hooks.send("PING"), ["pong", ""])

    async def test_routes_of_a_connection(self) -> None:
        """A route of a subscriber's messages may raise; the connection stays."""
        heard = Recorder()

        def route(message: str) -> None:
            heard(message)
            raising(message)

        subscriber = await self.subscriber()
        subscriber.route(lambda *_: None, {"channel": route}, {})
        subscriber.subscribe("channel")
        await subscriber.send("PING")
        for name in NAMES:
            await self.raw.publish("channel", name)
        await heard.wait(len(NAMES))
        await self.logs(*NAMES)
        self.assertEqual(await subscriber.send("PING"), ["pong", ""])

    async def test_mirror(self) -> None:
        """A mirror's callback may raise; the mirror applies later events."""
        feed, heard = await self.thoonk.feed("f"), Recorder()
        mirror = await self.thoonk.mirror("f")
        mirror.on_change(lambda event: heard(event.item) or raising(event.item))
        for name in NAMES:
            await feed.publish(name, "id")
        await heard.wait(len(NAMES))
        self.assertEqual(mirror["id"], NAMES[-1])
        await self.logs(*NAMES)

    async def test_state_changed(self) -> None:
        """Other observers get each state even if ``state_changed`` raises."""
        for name in NAMES:
            states: list[str] = []
            thoonk = self.service(state_changed=lambda *_, name=name: raising(name))
            thoonk._state_observers.append(lambda state, _, states=states: states.append(state))  # type: ignore[misc]
            await thoonk.connect()
            await thoonk.close()
            self.assertEqual(states, ["connecting", "connected", "stopping", "stopped"])
            await self.logs(*[name] * 4)


class WorkerTests(RaisingTestCase):
    """A job fails if its handler raises, and the worker takes the next job."""

    async def test_handlers(self) -> None:
        """A handler of any form may raise, also in a thread."""

        def plain(claim: Claim) -> None:
            if claim.id != "fine":
                raising(claim.id)

        async def coroutine(claim: Claim) -> None:
            plain(claim)

        for number, (handler, options) in enumerate(
            [(plain, {}), (coroutine, {}), (plain, {"in_thread": True})], 1
        ):
            worker = self.work(handler, back_off=lambda _: HOUR, **options)
            for name in [*NAMES, "fine"]:
                await self.job.put(name, id_=name)
            await self.comes_to(0, 0, 0, number)
            for name in NAMES:
                self.assertEqual((await self.failure(name)).type, name)
                await self.job.retract(name)
            self.assertEqual([what for _, what in self.ended], ["failed"] * 5 + ["finished"])
            self.ended.clear()
            await worker.stopService()

    async def test_back_off(self) -> None:
        """A job is retried with the default back-off if ``back_off`` raises."""
        tried = Recorder()

        def handler(claim: Claim) -> None:
            tried(claim.id)
            raise errors.InvalidInput("no")

        names = iter(NAMES)
        self.work(handler, back_off=lambda _: raising(next(names)))
        for name in NAMES:
            await self.job.put(name, id_=name)
        await tried.wait(len(NAMES))
        for name in NAMES:
            await self.failure(name)
        await self.logs(*NAMES)

    async def test_ended(self) -> None:
        """A callback for ended jobs may raise; the callbacks after it are called."""
        names = iter(NAMES)
        worker = self.make(lambda claim: None)
        worker.ended.insert(0, lambda *_: raising(next(names)))
        worker.startService()
        await self.job.put_many(NAMES)
        await self.comes_to(0, 0, 0, len(NAMES))
        await self.logs(*NAMES)
        self.assertEqual(self.ended, [("x", "finished")] * len(NAMES))

    async def test_canceller(self) -> None:
        """A canceller that raises does not keep the worker from stopping."""
        started = Recorder()

        def handler(claim: Claim) -> Deferred[None]:
            started(claim.id)
            return Deferred(lambda _: raising(claim.id))

        await self.put(*NAMES)
        worker = self.work(handler, len(NAMES))
        await started.wait(len(NAMES))
        await worker.stopService()
        self.assertEqual(await self.stats(), (len(NAMES), 0, 0, 0))
        await self.logs(*NAMES)


class SerializerTests(RaisingTestCase):
    """A serializer that cannot write fails the call; one that cannot read gives InvalidItem."""

    CONFIG = {"timeout": 60, "max_failures": 3, "serializer": "picky"}

    async def setUp(self) -> None:
        self.picky = Picky()
        register_serializer("picky", self.picky)
        self.addCleanup(_registry.pop, "picky")
        await super().setUp()

    async def test_writing(self) -> None:
        """The caller gets the exception that the serializer raised."""
        self.picky.writes = False
        feed = await self.thoonk.feed("f", {"serializer": "picky"})
        queue = await self.thoonk.queue("q", {"serializer": "picky"})
        for kind, name in zip(KINDS, NAMES, strict=True):
            for put in (feed.publish, queue.put, self.job.put):
                await self.assertFailure(put(name), kind)
            await self.assertFailure(queue.put_many(["a", name]), kind)

    async def test_result(self) -> None:
        """A job fails if its result cannot be serialized."""
        worker = self.make(lambda claim: claim.id, back_off=lambda _: HOUR)
        for name in NAMES:
            await self.job.put(name, id_=name)
        self.picky.writes = False
        worker.startService()
        for name in NAMES:
            self.assertEqual((await self.failure(name)).type, name)

    async def test_reading(self) -> None:
        """A reader gets InvalidItem for an unreadable item; other items are not affected."""
        feed = await self.thoonk.feed("f", {"serializer": "picky"})
        queue = await self.thoonk.queue("q", {"serializer": "picky"})
        for name in NAMES:
            await feed.publish(name, name)
            await queue.put(name)
        await queue.put("fine")
        self.picky.reads = False
        for name in NAMES:
            await self.assertFailure(feed.get_item(name), errors.InvalidItem)
            await self.assertFailure(queue.get(), errors.InvalidItem)
        self.assertEqual(await queue.get(), "fine")

    async def test_pickles(self) -> None:
        """An exception in pickling is InvalidInput, and one in unpickling is InvalidItem."""
        queue = await self.thoonk.pyqueue("p")
        for name in NAMES:
            await self.assertFailure(queue.put(Pickled(None, name)), errors.InvalidInput)
            await queue.put(Pickled(name))
            await self.assertFailure(queue.get(), errors.InvalidItem)

    async def test_events(self) -> None:
        """A subscriber gets an event whose item is the InvalidItem."""
        feed = await self.thoonk.feed("f", {"serializer": "picky"})
        heard = Recorder()
        self.picky.reads = False
        await self.thoonk.subscribe("f", lambda event: heard(event.item))
        for name in NAMES:
            await feed.publish(name, name)
        await heard.wait(len(NAMES))
        self.assertEqual([type(item) for (item,) in heard.calls], [errors.InvalidItem] * 5)

    async def test_worker(self) -> None:
        """A worker stalls a job that it cannot read, and finishes the others."""
        for name in [*NAMES, "fine"]:
            await self.job.put(name, id_=name)
        self.picky.reads = False
        self.work(lambda claim: None, 3)
        await self.comes_to(0, 0, len(NAMES), 1)
        self.assertEqual(self.ended, [("x", "finished")])


class CallTests(RaisingTestCase):
    """An exception of a function that a call uses fails that call."""

    async def test_feed_type(self) -> None:
        """An exception of a feed type's class fails the call that makes the feed."""
        for kind, name in (*zip(KINDS, NAMES, strict=True), (TypeError, "")):

            def make(*_: Any, kind: Any = kind) -> Any:
                raise kind("of the user")

            thoonk: Any = self.thoonk
            thoonk.register_feedtype("own", make)
            failed = self.assertFailure(thoonk.own("own"), kind)  # type: ignore[arg-type]
            self.assertEqual(str(await failed), "of the user", name)
        self.assertEqual(await self.thoonk.redis.ping(), "PONG")

    async def test_put_many(self) -> None:
        """An exception of the items or of the progress callback fails ``put_many``."""
        queue = await self.thoonk.queue("q")

        def items(name: str) -> Iterator[str]:
            yield "item"
            raising(name)

        for kind, name in zip(KINDS, NAMES, strict=True):
            await self.assertFailure(queue.put_many(items(name)), kind)
            putting = queue.put_many(["item"], progress=lambda _, name=name: raising(name))  # type: ignore[misc]
            await self.assertFailure(putting, kind)
        self.assertEqual(await queue.length(), len(NAMES))

    async def test_retry_policy(self) -> None:
        """A lost connection is retried with the default delay if ``retry_policy`` raises."""
        for name in NAMES:
            thoonk = self.service()
            thoonk._connections.publisher._policy = lambda _, name=name: raising(name)  # type: ignore[misc]
            await thoonk.connect()
            thoonk.redis.abort(ConnectionDone())
            await self.assertFailure(thoonk.redis.send("PING"), errors.ConnectionLost)
            self.assertEqual(await thoonk.redis.send("PING"), "PONG")
            await self.logs(name)
            await thoonk.close()
