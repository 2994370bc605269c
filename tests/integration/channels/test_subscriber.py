"""ThoonkSub calls each handler with every message of its channel, independently of others."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, gatherResults, succeed

from tests.support import Recorder
from tests.support.server import turns
from tests.support.subscriber import CHANNEL, SubscriberTestCase


class HandlerTests(SubscriberTestCase):
    async def test_events_of_feeds(self) -> None:
        """``create``, ``delete`` and ``config`` are names for newfeed, delfeed and conffeed."""
        heard = await self.record(
            self.sub_, "create", "newfeed", "delete", "delfeed", "config", "conffeed"
        )
        await self.pub_.create_feed("y")
        await self.pub_.set_config("y", {"title": "t"})
        await self.pub_.delete_feed("y")
        await self.settle()
        kinds = {
            kind: [call for call in heard.calls if call[0] == kind]
            for kind in ("create", "newfeed", "delete", "delfeed", "config", "conffeed")
        }
        for kind, calls in kinds.items():
            self.assertEqual([call[1] for call in calls], ["y"], kind)

    async def test_events_of_items(self) -> None:
        """A handler gets the id, and the item as text."""
        heard = await self.record(
            self.sub_, "feed.publish:x", "feed.edit:x", "feed.retract:x", "feed.position:x"
        )
        await self.feed.publish("a\0b\0", "1")
        await self.feed.publish(b"\xff\0", "1")
        await self.feed.publish("", "2")
        await self.feed.retract("1")
        await self.raw.publish("feed.position:x", "2\0:end")
        self.assertEqual(
            await heard.wait(5),
            [
                ("feed.publish:x", "1", "a\0b\0"),
                ("feed.edit:x", "1", "\udcff\0"),
                ("feed.publish:x", "2", ""),
                ("feed.retract:x", "1"),
                ("feed.position:x", "2", ":end"),
            ],
        )

    async def test_other_channels(self) -> None:
        """A handler of an application's channel gets the message split at every NUL."""
        heard = await self.record(self.sub_, "own channel", "é*[x]?")
        parts = ("a", "", "é", "\udcff")
        await self.pub_.publish_channel("own channel", "a", "", "é", b"\xff")
        await self.pub_.publish_channel("é*[x]?", "whole")
        await self.pub_.publish_channel("ézx", "not this one")
        await self.settle()
        expected = [("own channel", *parts), ("é*[x]?", "whole")]
        self.assertEqual(heard.calls, expected)

    async def test_only_what_it_asked_for(self) -> None:
        """A handler gets the messages of its own channel, from its registration on."""
        await self.feed.publish("before")
        heard = await self.record(self.sub_, CHANNEL)
        other = await self.pub_.feed("y")
        await other.publish("of another feed")
        await self.feed.publish("after", "1")
        await self.settle()
        self.assertEqual(heard.calls, [(CHANNEL, "1", "after")])

    async def test_several_per_channel(self) -> None:
        """All handlers of a channel get each message, and each has its own id."""
        heard = Recorder()
        names = [f"h{number}" for number in range(5)]
        ids = [await self.sub_.register_handler(CHANNEL, heard.named(name)) for name in names]
        self.assertEqual(len(set(ids)), 5)
        await self.feed.publish("i", "1")
        await self.feed.publish("j", "2")
        calls = await heard.wait(10)
        for name in names:
            mine = [call for call in calls if call[0] == name]
            self.assertEqual(mine, [(name, "1", "i"), (name, "2", "j")])
        self.assertEqual(await self.counted(CHANNEL), 1)

    async def test_same_handler_twice(self) -> None:
        """A function that is registered twice is called twice, and can be removed once."""
        heard = Recorder()
        first = await self.sub_.register_handler(CHANNEL, heard)
        second = await self.sub_.register_handler(CHANNEL, heard)
        self.assertNotEqual(first, second)
        await self.feed.publish("i", "1")
        self.assertEqual(await heard.wait(2), [("1", "i")] * 2)
        self.sub_.remove_handler(first)
        await self.feed.publish("j", "2")
        await self.settle()
        self.assertEqual(heard.calls, [("1", "i"), ("1", "i"), ("2", "j")])

    async def test_confirmed(self) -> None:
        """The id fires after Redis has confirmed the subscription, so no later message is lost."""
        for number in range(50):
            heard = Recorder()
            channel = f"feed.publish:{number}"
            await self.sub_.register_handler(channel, heard)
            self.assertEqual(await self.raw.publish(channel, "1\0i"), 1)
            self.assertEqual(await heard.wait(1), [("1", "i")])

    async def test_waiting_handlers(self) -> None:
        """A handler that waits delays neither other handlers nor its own next call."""
        heard, gate = Recorder(), Deferred[None]()

        async def coroutine(id_: str, item: str) -> None:
            heard("begun", id_)
            await gate
            heard("done", id_)

        def deferred(id_: str, item: str) -> Deferred[Any]:
            waiting: Deferred[Any] = Deferred()
            gate.addCallback(lambda _: waiting.callback(heard("fired", id_)))  # type: ignore[call-overload]
            return waiting

        await self.sub_.register_handler(CHANNEL, coroutine)
        await self.sub_.register_handler(CHANNEL, deferred)
        await self.sub_.register_handler(CHANNEL, heard.named("plain"))
        await self.feed.publish("i", "1")
        await self.feed.publish("j", "2")
        await heard.wait(4)
        expected = {("begun", "1"), ("begun", "2"), ("plain", "1", "i"), ("plain", "2", "j")}
        self.assertEqual(set(heard.calls), expected)
        gate.callback(None)
        await heard.wait(8)
        expected |= {("done", "1"), ("done", "2"), ("fired", "1"), ("fired", "2")}
        self.assertEqual(set(heard.calls), expected)

    async def test_failing_handlers(self) -> None:
        """Each failing handler is logged; the other handlers get every message."""
        heard = Recorder()

        def raises(*call: str) -> None:
            raise ZeroDivisionError

        def fails(*call: str) -> Deferred[None]:
            return fail(KeyError())

        async def coroutine(*call: str) -> None:
            await succeed(None)
            raise IndexError

        def wrong(only_one: str) -> None:
            heard("never")

        await self.sub_.register_handler(CHANNEL, heard.named("first"))
        for handler in (raises, fails, coroutine, wrong):
            await self.sub_.register_handler(CHANNEL, handler)
        await self.sub_.register_handler(CHANNEL, heard.named("last"))
        await self.feed.publish("i", "1")
        await self.feed.publish("j", "2")
        await self.settle()
        for name in ("first", "last"):
            mine = [call for call in heard.calls if call[0] == name]
            self.assertEqual(mine, [(name, "1", "i"), (name, "2", "j")])
        self.assertEqual(len(heard.calls), 4)
        await turns()
        for error in (ZeroDivisionError, KeyError, IndexError, TypeError):
            self.assertEqual(len(self.flushLoggedErrors(error)), 2, error)

    async def test_late_failure(self) -> None:
        """A coroutine that fails later is logged, and has no other effect."""
        heard, gate = Recorder(), Deferred[None]()

        async def coroutine(id_: str, item: str) -> None:
            if id_ == "1":
                await gate

        await self.sub_.register_handler(CHANNEL, coroutine)
        await self.sub_.register_handler(CHANNEL, heard)
        await self.feed.publish("i", "1")
        await heard.wait(1)
        gate.errback(ZeroDivisionError())
        await self.feed.publish("j", "2")
        self.assertEqual((await heard.wait(2))[-1], ("2", "j"))
        await turns()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_malformed_messages(self) -> None:
        """A message that the contract does not allow is logged once, and calls no handler."""
        heard = Recorder()
        channels = (CHANNEL, "feed.edit:x", "feed.position:x")
        for channel in channels:
            for name in ("first", "second"):
                await self.sub_.register_handler(channel, heard.named(name))
        for channel in channels:
            for message in ("", "no nul", b"\xff\xfe"):
                complaints = self.complaints()
                await self.raw.publish(channel, message)
                await self.settle()
                self.assertEqual(len(complaints), 1, (channel, message))
                self.assertIn(channel, str(complaints), "the log does not say where")
        self.assertEqual(heard.calls, [])
        self.flushLoggedErrors()
        await self.feed.publish("i", "1")
        expected = {("first", "1", "i"), ("second", "1", "i")}
        self.assertEqual(set(await heard.wait(2)), expected)

    async def test_odd_messages_are_messages(self) -> None:
        """Messages with empty ids, empty items or arbitrary bytes are valid."""
        complaints = self.complaints()
        heard = await self.record(self.sub_, CHANNEL)
        for message in (b"\0", b"1\0", b"\xff\0\xfe\0"):
            await self.raw.publish(CHANNEL, message)
        expected = [(CHANNEL, "", ""), (CHANNEL, "1", ""), (CHANNEL, "\udcff", "\udcfe\0")]
        self.assertEqual(await heard.wait(3), expected)
        self.assertEqual(complaints, [])

    async def test_order(self) -> None:
        """A handler gets the events of one feed in the order of the changes."""
        await self.feed.set_config({"max_length": 3})
        spied = await self.spy()
        heard = await self.record(self.sub_, CHANNEL, "feed.edit:x", "feed.retract:x")
        calls: list[Deferred[Any]] = []
        for number in range(500):
            calls.append(self.feed.publish(f"i{number}", str(number * 7 % 5)))
            if number % 3 == 0:
                calls.append(self.feed.retract(str(number % 5)))
        await gatherResults(calls)
        await self.settle()
        told = [
            (channel.decode(), *message.decode().split("\0"))
            for channel, message in await spied.messages()
            if channel.startswith(b"feed.")
        ]
        self.assertGreater(len(told), 600)
        self.assertEqual(heard.calls, told)
