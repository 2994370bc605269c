"""Publish and subscribe with plain clients on a real server."""

from __future__ import annotations

import uuid
from typing import Any

from tests.support import Recorder
from tests.support.commands import CommandTestCase
from tests.support.wire import HOOKS
from txthoonk.errors import ResponseError
from txthoonk.protocol import RedisSubscriber


class PubSubTests(CommandTestCase):
    """``RedisSubscriber`` receives what ``Redis`` publishes."""

    async def listen(self, **arguments: Any) -> tuple[RedisSubscriber, Recorder]:
        """Connect a subscriber whose hooks are recorded."""
        subscriber = await self.subscriber(**arguments)
        recorder = Recorder()
        for hook in HOOKS:
            setattr(subscriber, hook, recorder.named(hook))
        return subscriber, recorder

    def channel(self, name: str) -> str:
        """Return a channel name that is unique to this test; all databases share channels."""
        return f"{self.prefix}:{name}"

    async def setUp(self) -> None:
        await super().setUp()
        self.prefix = f"test-{uuid.uuid4().hex}"

    async def test_messages(self) -> None:
        """A subscriber receives each message once for its channel and once for each pattern."""
        a, b, pattern = map(self.channel, ("a", "b", "*"))
        subscriber, recorder = await self.listen()
        subscriber.subscribe(a)
        subscriber.psubscribe(pattern)
        await recorder.wait(2)
        self.assertEqual(await self.client.publish(a, "hällo\0\r\n"), 2)
        self.assertEqual(await self.client.publish(channel=b, message=""), 1)
        self.assertEqual(await self.client.publish(self.prefix, "nobody"), 0)
        self.assertEqual(
            await recorder.wait(5),
            [
                ("channelSubscribed", a, 1),
                ("channelPatternSubscribed", pattern, 2),
                ("messageReceived", a, "hällo\0\r\n"),
                ("messageReceived", a, "hällo\0\r\n"),
                ("messageReceived", b, ""),
            ],
        )

    async def test_bytes(self) -> None:
        """A subscriber without a charset receives bytes."""
        a = self.channel("a").encode()
        subscriber, recorder = await self.listen(charset=None)
        subscriber.subscribe(a)
        await recorder.wait(1)
        await self.raw.publish(a, b"\xff\0")
        self.assertEqual((await recorder.wait(2))[1], ("messageReceived", a, b"\xff\0"))

    async def test_unsubscribe(self) -> None:
        """Channels can be unsubscribed by name or together, and replies stay in order."""
        a, b, c = map(self.channel, "abc")
        subscriber, recorder = await self.listen()
        subscriber.unsubscribe()
        subscriber.subscribe(a, b, c, a)
        subscriber.unsubscribe(b)
        pong = subscriber.send("PING", "1")
        subscriber.unsubscribe()
        subscriber.punsubscribe()
        subscriber.unsubscribe(a)
        self.assertEqual(await subscriber.send("PING"), "PONG")
        self.assertEqual(await pong, ["pong", "1"])
        ended = recorder.calls[6:8]
        self.assertEqual(sorted(name for _, name, _ in ended), [a, c])
        self.assertEqual(
            recorder.calls,
            [
                ("channelUnsubscribed", None, 0),
                ("channelSubscribed", a, 1),
                ("channelSubscribed", b, 2),
                ("channelSubscribed", c, 3),
                ("channelSubscribed", a, 3),
                ("channelUnsubscribed", b, 2),
                *ended,
                ("channelPatternUnsubscribed", None, 0),
                ("channelUnsubscribed", a, 0),
            ],
        )

    async def test_the_same_channel_as_text_and_bytes(self) -> None:
        """A channel as text and as bytes is one channel, for the server and for the subscriber."""
        a = self.channel("a")
        subscriber, recorder = await self.listen()
        subscriber.subscribe(a, a.encode())
        subscriber.unsubscribe()
        await recorder.wait(3)
        pong = subscriber.send("PING")
        subscriber.subscribe(a)
        await recorder.wait(4)
        self.assertTrue(pong.called)
        self.assertEqual(await pong, "PONG")

    async def restricted(self) -> dict[str, str]:
        """Create a user who may subscribe only to some channels."""
        user = f"test-{uuid.uuid4().hex}"
        rules = ("on", ">pw", "~*", "+@all", "resetchannels", f"&{self.channel('a')}*")
        self.assertEqual(await self.client.send("ACL", "SETUSER", user, *rules), "OK")
        self.addCleanup(self.client.send, "ACL", "DELUSER", user)
        return {"username": user, "password": "pw"}

    async def test_refused(self) -> None:
        """A request with a forbidden channel fails as a whole; other requests succeed."""
        a, b, also = map(self.channel, ("a", "b", "also"))
        subscriber, recorder = await self.listen(**await self.restricted())
        subscriber.subscribe(a)
        subscriber.subscribe(b, also)
        subscriber.subscribe(also)
        pong = subscriber.send("PING", "x")
        first, (hook, names, error), last = await recorder.wait(3)
        self.assertEqual(first, ("channelSubscribed", a, 1))
        self.assertEqual((hook, names), ("subscriptionFailed", (b, also)))
        self.assertIsInstance(error, ResponseError)
        self.assertEqual(error.code, "NOPERM")
        self.assertEqual(last, ("channelSubscribed", also, 2))
        self.assertEqual(await pong, ["pong", "x"])

    async def test_unsubscribe_from_all_after_a_refusal(self) -> None:
        """Unsubscribing from all channels does not wait for channels that were refused."""
        a, b, c = map(self.channel, "abc")
        subscriber, recorder = await self.listen(**await self.restricted())
        subscriber.subscribe(a)
        subscriber.subscribe(b, c)
        await recorder.wait(2)
        subscriber.unsubscribe()
        await recorder.wait(3)
        pong = subscriber.send("PING")
        subscriber.subscribe(a)
        await recorder.wait(4)
        self.assertTrue(pong.called)
        self.assertEqual(await pong, "PONG")

    async def test_many(self) -> None:
        """A subscriber receives the messages of one client in order."""
        a = self.channel("a")
        subscriber, recorder = await self.listen()
        subscriber.subscribe(a)
        await recorder.wait(1)
        for number in range(1000):
            self.client.publish(a, number)
        calls = await recorder.wait(1001)
        self.assertEqual([int(message) for _, _, message in calls[1:]], list(range(1000)))
