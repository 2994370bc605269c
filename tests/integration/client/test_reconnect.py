"""A subscriber whose connection is lost gets its handlers back from its factory."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, gatherResults
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from tests.support.reconnect import ReconnectTestCase, reactor
from tests.support.waiting import until
from txthoonk.client import ThoonkPub, ThoonkPubFactory, ThoonkSubFactory
from txthoonk.errors import ConnectionLost

CHANNEL = "feed.publish:x"


class ResubscriptionTests(ReconnectTestCase):
    async def test_factory_reconnects(self) -> None:
        """A subscriber's handlers receive messages again after each reconnect."""
        sub = await self.kept_sub()
        for name in ("first", "second"):
            await sub.register_handler(CHANNEL, self.heard.named(name))
        await sub.register_handler("feed.retract:x", self.heard.named("retract"))
        for round_ in range(5):
            await self.kill()
            await self.numsub(CHANNEL, 1)
            await self.numsub("feed.retract:x", 1)
            await self.feed.publish("i", str(round_))
            await self.feed.retract(str(round_))
            calls = (await self.heard.wait(3 * (round_ + 1)))[-3:]
            expected = {("first", str(round_), "i"), ("second", str(round_), "i")}
            self.assertEqual(set(calls), {*expected, ("retract", str(round_))})

    async def test_handlers_go_on_being_handlers(self) -> None:
        """Handlers can be removed and registered after a reconnect."""
        sub = await self.kept_sub()
        removed = await sub.register_handler(CHANNEL, self.heard.named("removed"))
        edits = await sub.register_handler("feed.edit:x", self.heard.named("edit"))
        await self.kill()
        sub.remove_handler(edits)
        await self.numsub(CHANNEL, 1)
        sub.remove_handler(removed)
        await self.numsub(CHANNEL, 0)
        await sub.register_handler(CHANNEL, self.heard.named("new"))
        await self.feed.publish("i", "1")
        self.assertEqual(await self.heard.wait(1), [("new", "1", "i")])
        await self.numsub("feed.edit:x", 0)

    async def test_many_channels(self) -> None:
        """A reconnect subscribes to all of 200 channels again."""
        sub = await self.kept_sub()
        channels = [f"feed.publish:{number}" for number in range(200)]
        for channel in channels:
            await sub.register_handler(channel, self.heard.named(channel))
        await self.kill()
        for channel in channels:
            await self.numsub(channel, 1)
            await self.raw.publish(channel, "1\0i")
        expected = [(channel, "1", "i") for channel in channels]
        self.assertEqual(await self.heard.wait(200), expected)

    async def test_nothing_to_take_up(self) -> None:
        """A subscriber without handlers reconnects, and accepts handlers."""
        sub = await self.kept_sub()
        lost = sub.redis
        number = await self.client_id()
        await self.raw.send("CLIENT", "KILL", "ID", str(number))
        await until(lambda: sub.redis is not lost)
        await sub.register_handler(CHANNEL, self.heard)
        await self.feed.publish("i", "1")
        self.assertEqual(await self.heard.wait(1), [("1", "i")])

    async def test_connected_by_hand(self) -> None:
        """Connecting the same factory again gives the subscriber a new connection."""
        factory = ThoonkSubFactory(**self.arguments())
        endpoint = self.target.endpoint(reactor)
        sub: Any = await endpoint.connect(factory)
        self.addCleanup(sub.close)
        await sub.register_handler(CHANNEL, self.heard)
        for round_ in range(3):
            await self.kill()
            await self.numsub(CHANNEL, 0)
            self.assertIs(await endpoint.connect(factory), sub)
            await self.numsub(CHANNEL, 1)
            await self.feed.publish("i", str(round_))
            self.assertEqual((await self.heard.wait(round_ + 1))[-1], (str(round_), "i"))

    async def test_two_objects_of_a_factory(self) -> None:
        """A factory that built two subscribers gives each its own handlers back."""
        factory = ThoonkSubFactory(**self.arguments())
        endpoint = self.target.endpoint(reactor)
        subs: list[Any] = [await endpoint.connect(factory) for _ in range(2)]
        self.assertIsNot(subs[0], subs[1])
        for name, sub in zip("ab", subs, strict=True):
            self.addCleanup(sub.close)
            await sub.register_handler(f"feed.publish:{name}", self.heard.named(name))
        await self.kill()
        await self.numsub("feed.publish:a", 0)
        again = [await endpoint.connect(factory) for _ in range(2)]
        self.assertEqual(set(map(id, again)), set(map(id, subs)))
        for name in "ab":
            await self.numsub(f"feed.publish:{name}", 1)
            await self.raw.publish(f"feed.publish:{name}", "1\0i")
        self.assertEqual(set(await self.heard.wait(2)), {("a", "1", "i"), ("b", "1", "i")})

    async def test_closed(self) -> None:
        """A closed subscriber does not reconnect."""
        factory = ThoonkSubFactory(**self.arguments())
        clock = Clock()
        self.patch(factory, "clock", clock)
        sub = await self.kept(factory)
        await sub.register_handler(CHANNEL, self.heard)
        await sub.close()
        await self.numsub(CHANNEL, 0)
        await until(lambda: self.connector.state == "disconnected")
        self.assertEqual(clock.getDelayedCalls(), [])
        await self.assertFailure(sub.register_handler(CHANNEL, self.heard), ConnectionLost)

    async def test_closed_object_stays_closed(self) -> None:
        """A factory builds a new subscriber rather than reconnect a closed one."""
        factory = ThoonkSubFactory(**self.arguments())
        endpoint = self.target.endpoint(reactor)
        closed: Any = await endpoint.connect(factory)
        await closed.register_handler(CHANNEL, self.heard)
        await closed.close()
        other: Any = await endpoint.connect(factory)
        self.addCleanup(other.close)
        self.assertIsNot(other, closed)
        await other.register_handler("other", self.heard)
        await self.numsub("other", 1)
        await self.numsub(CHANNEL, 0)


class PendingTests(ReconnectTestCase):
    async def test_registrations(self) -> None:
        """Registrations that wait for Redis' confirmation fail when the connection is lost."""
        sub = await self.sub()
        stays = await sub.register_handler("other", self.heard)
        pending = [sub.register_handler(CHANNEL, self.heard) for _ in range(3)]
        pending.append(sub.register_handler("feed.edit:x", self.heard))
        transport: Any = sub.redis.transport
        transport.abortConnection()
        for deferred in pending:
            await self.assertFailure(deferred, ConnectionLost)
        await self.assertFailure(sub.register_handler(CHANNEL, self.heard), ConnectionLost)
        sub.remove_handler(stays)

    async def test_registrations_that_end_each_other(self) -> None:
        """Failing registrations may cancel each other; each fires once, and the rest works."""
        sub = await self.kept_sub()
        await sub.register_handler("other", self.heard.named("confirmed"))
        ended: list[str] = []
        pending = [sub.register_handler(f"feed.publish:{name}", self.heard) for name in "aabbb"]

        def end(reason: Failure) -> None:
            reason.trap(ConnectionLost, CancelledError)
            ended.append(type(reason.value).__name__)
            for deferred in pending:
                deferred.cancel()

        for deferred in pending:
            deferred.addErrback(end)
        transport: Any = sub.redis.transport
        transport.abortConnection()
        await gatherResults(pending)
        self.assertEqual(len(ended), 5)
        await self.numsub("other", 0)
        await self.numsub("other", 1)
        await self.raw.publish("other", "m")
        self.assertEqual(await self.heard.wait(1), [("confirmed", "m")])
        self.assertEqual(await self.raw.publish("feed.publish:a", "1\0i"), 0)
        self.assertEqual(await self.raw.publish("feed.publish:b", "1\0i"), 0)

    async def test_registrations_that_failed_do_not_come_back(self) -> None:
        """Failed registrations do not return after a reconnect; repeating one works."""
        sub = await self.kept_sub()
        await sub.register_handler("other", self.heard.named("confirmed"))
        pending = sub.register_handler(CHANNEL, self.heard.named("failed"))
        transport: Any = sub.redis.transport
        transport.abortConnection()
        await self.assertFailure(pending, ConnectionLost)
        await self.numsub("other", 0)
        await self.numsub("other", 1)
        await sub.register_handler(CHANNEL, self.heard.named("retry"))
        await self.feed.publish("i", "1")
        await self.raw.publish("other", "m")
        self.assertEqual(await self.heard.wait(2), [("retry", "1", "i"), ("confirmed", "m")])

    async def test_publisher_comes_back(self) -> None:
        """A publisher's pending calls fail, and its factory gives it a new connection."""
        pub: ThoonkPub = await self.kept(ThoonkPubFactory(**self.arguments()))
        feed = await pub.feed("y")
        lost = pub.redis
        number = await lost.send("CLIENT", "ID")
        await self.raw.send("CLIENT", "PAUSE", "30000", "WRITE")
        try:
            pending = [feed.publish("i", str(number)) for number in range(100)]
            await self.raw.send("CLIENT", "KILL", "ID", str(number))
            for deferred in pending:
                await self.assertFailure(deferred, ConnectionLost)
        finally:
            await self.raw.send("CLIENT", "UNPAUSE")
        await until(lambda: pub.redis is not lost)
        self.assertEqual(await feed.publish("i", "again"), "again")
        self.assertEqual(await feed.get_ids(), ["again"])
        self.assertEqual(await (await pub.feed("z")).length(), 0)

    async def test_results_after_the_return(self) -> None:
        """A job feed opened before the loss waits for results on the new connection."""
        pub: ThoonkPub = await self.kept(ThoonkPubFactory(**self.arguments()))
        job = await pub.job("jobs")
        await job.put("item", id_="1")
        lost = pub.redis
        await self.raw.send("CLIENT", "KILL", "ID", str(await lost.send("CLIENT", "ID")))
        while pub.redis is lost:
            await self.raw.ping()
        waiting = job.get_result("1")
        await job.finish(await job.get(), "result")
        self.assertEqual(await waiting, ("item", "result"))

    async def test_messages_stop_with_the_connection(self) -> None:
        """A handler gets no messages while disconnected, and none twice afterwards."""
        factory = ThoonkSubFactory(**self.arguments())
        endpoint = self.target.endpoint(reactor)
        sub: Any = await endpoint.connect(factory)
        self.addCleanup(sub.close)
        await sub.register_handler(CHANNEL, self.heard)
        await self.feed.publish("i", "1")
        await self.heard.wait(1)
        await self.kill()
        await self.feed.publish("i", "2")
        await endpoint.connect(factory)
        await self.numsub(CHANNEL, 1)
        await self.feed.publish("i", "3")
        self.assertEqual(await self.heard.wait(2), [("1", "i"), ("3", "i")])
