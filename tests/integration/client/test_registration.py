"""ThoonkSub: handlers are registered and removed, concurrently and inside handlers."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, gatherResults

from tests.support import Recorder
from tests.support.subscriber import CHANNEL, SubscriberTestCase


class RegistrationTests(SubscriberTestCase):
    async def test_last_one_unsubscribes(self) -> None:
        """Only removing the last handler of a channel unsubscribes from it."""
        heard = Recorder()
        ids = [await self.sub_.register_handler(CHANNEL, heard) for _ in range(3)]
        other = await self.sub_.register_handler("feed.edit:x", heard)
        for id_ in ids[:2]:
            self.assertIsNone(self.sub_.remove_handler(id_))
        await self.feed.publish("i", "1")
        self.assertEqual(await heard.wait(1), [("1", "i")])
        self.assertEqual(await self.counted(CHANNEL), 1)
        self.sub_.remove_handler(ids[2])
        await self.numsub(CHANNEL, 0)
        self.assertEqual(await self.counted("feed.edit:x"), 1)
        self.sub_.remove_handler(other)
        await self.numsub("feed.edit:x", 0)
        await self.feed.publish("j", "2")
        await self.settle()
        self.assertEqual(heard.calls, [("1", "i")])

    async def test_removed_twice(self) -> None:
        """Removing a handler again, or an unknown id, does nothing."""
        heard = Recorder()
        first = await self.sub_.register_handler(CHANNEL, heard)
        await self.sub_.register_handler(CHANNEL, heard)
        for id_ in (first, first, 10**6, -1, None):
            self.sub_.remove_handler(id_)  # type: ignore[arg-type]
        await self.feed.publish("i", "1")
        await self.settle()
        self.assertEqual(heard.calls, [("1", "i")])

    async def test_removal_is_immediate(self) -> None:
        """After remove_handler returns, a message already on its way does not call the handler."""
        heard = Recorder()
        id_ = await self.sub_.register_handler(CHANNEL, heard)
        await self.sub_.register_handler("feed.edit:x", lambda *call: None)
        await self.raw.publish(CHANNEL, "1\0i")
        await self.settle()
        self.sub_.remove_handler(id_)
        self.sub_.messageReceived(CHANNEL, "2\0j")
        self.assertEqual(heard.calls, [("1", "i")])

    async def test_removal_inside_a_handler(self) -> None:
        """A handler may remove itself or another, which is then not called any more."""
        heard, ids = Recorder(), dict[str, Any]()

        def once(*call: str) -> None:
            heard("once", *call)
            self.sub_.remove_handler(ids["once"])

        def rival(name: str, other: str) -> Any:
            def handler(*call: str) -> None:
                heard(name, *call)
                self.sub_.remove_handler(ids[other])

            return handler

        ids["once"] = await self.sub_.register_handler(CHANNEL, once)
        ids["a"] = await self.sub_.register_handler(CHANNEL, rival("a", "b"))
        ids["b"] = await self.sub_.register_handler(CHANNEL, rival("b", "a"))
        await self.sub_.register_handler(CHANNEL, heard.named("stays"))
        await self.feed.publish("i", "1")
        await self.feed.publish("j", "2")
        await self.settle()
        names = [call[0] for call in heard.calls]
        self.assertEqual(names.count("once"), 1)
        self.assertEqual(names.count("stays"), 2)
        self.assertIn((names.count("a"), names.count("b")), {(2, 0), (0, 2)})

    async def test_last_one_removes_itself(self) -> None:
        """A channel's only handler may remove itself, and the channel can be used again."""
        heard, ids = Recorder(), list[Any]()

        def once(*call: str) -> None:
            heard(*call)
            self.sub_.remove_handler(ids[-1])

        for number in range(3):
            ids.append(await self.sub_.register_handler(CHANNEL, once))
            await self.feed.publish("i", str(number))
            await self.feed.publish("not heard")
            await heard.wait(number + 1)
            await self.numsub(CHANNEL, 0)
        self.assertEqual(heard.calls, [("0", "i"), ("1", "i"), ("2", "i")])

    async def test_registration_inside_a_handler(self) -> None:
        """A handler may register another, which gets the messages after that."""
        heard, registered = Recorder(), list[Any]()

        def first(*call: str) -> None:
            if not registered:
                registered.append(self.sub_.register_handler(CHANNEL, heard.named("second")))
            heard("first", *call)

        await self.sub_.register_handler(CHANNEL, first)
        await self.feed.publish("i", "1")
        await heard.wait(1)
        await registered[0]
        await self.feed.publish("j", "2")
        await self.settle()
        self.assertIn(("second", "2", "j"), heard.calls)
        self.assertEqual(heard.calls.count(("first", "2", "j")), 1)

    async def test_registered_again_at_once(self) -> None:
        """A handler registered right after the last removal gets each message once."""
        heard = Recorder()
        id_ = await self.sub_.register_handler(CHANNEL, heard)
        for number in range(20):
            await self.raw.ping()  # so that the next lines do not run inside the confirmation
            self.sub_.remove_handler(id_)
            id_ = await self.sub_.register_handler(CHANNEL, heard)
            self.assertEqual(await self.counted(CHANNEL), 1)
            await self.feed.publish("i", str(number))
            await heard.wait(number + 1)
        await self.settle()
        self.assertEqual(heard.calls, [(str(number), "i") for number in range(20)])

    async def test_registered_again_inside_the_confirmation(self) -> None:
        """A handler may be removed and replaced in the call that confirms its registration."""
        heard = Recorder()
        for number in range(20):
            removed = await self.sub_.register_handler(CHANNEL, heard.named("removed"))
            self.sub_.remove_handler(removed)
            id_ = await self.sub_.register_handler(CHANNEL, heard)
            await self.feed.publish("i", str(number))
            await heard.wait(number + 1)
            self.sub_.remove_handler(id_)
        self.assertEqual(heard.calls, [(str(number), "i") for number in range(20)])
        await self.numsub(CHANNEL, 0)

    async def test_removed_and_registered_many_times_at_once(self) -> None:
        """After many changes in one reactor turn, only the remaining handler is called."""
        heard = Recorder()
        id_ = await self.sub_.register_handler(CHANNEL, heard.named("old"))
        for _ in range(10):
            pending = self.sub_.register_handler(CHANNEL, heard.named("between"))
            self.sub_.remove_handler(id_)
            id_ = await pending
        last = self.sub_.register_handler(CHANNEL, heard.named("last"))
        self.sub_.remove_handler(id_)
        await last
        await self.feed.publish("i", "1")
        await self.settle()
        self.assertEqual(heard.calls, [("last", "1", "i")])
        self.assertEqual(await self.counted(CHANNEL), 1)

    async def test_many_at_once(self) -> None:
        """200 registrations on 200 channels and 200 on one channel succeed concurrently."""
        heard = Recorder()
        channels = [f"feed.publish:{number}" for number in range(200)]
        register = self.sub_.register_handler
        calls = [register(channel, heard.named(channel)) for channel in channels]
        calls += [register(CHANNEL, heard.named(str(number))) for number in range(200)]
        ids = await gatherResults(calls)
        self.assertEqual(len(set(ids)), 400)
        for channel in channels:
            self.assertEqual(await self.raw.publish(channel, "1\0i"), 1)
        self.assertEqual(await self.raw.publish(CHANNEL, "1\0i"), 1)
        await heard.wait(400)
        expected = [(channel, "1", "i") for channel in channels]
        expected += [(str(number), "1", "i") for number in range(200)]
        self.assertEqual(sorted(heard.calls), sorted(expected))
        for id_ in ids:
            self.sub_.remove_handler(id_)
        for channel in (*channels, CHANNEL):
            await self.numsub(channel, 0)

    async def test_cancelled(self) -> None:
        """A cancelled registration is removed; others on its channel stay."""
        heard = Recorder()
        pending = self.sub_.register_handler(CHANNEL, heard.named("cancelled"))
        other = self.sub_.register_handler("feed.edit:x", heard.named("cancelled"))
        stays = self.sub_.register_handler(CHANNEL, heard.named("stays"))
        for deferred in (pending, other):
            deferred.cancel()
            await self.assertFailure(deferred, CancelledError)
        await stays
        await self.feed.publish("i", "1")
        await self.feed.publish("i", "1")
        await self.settle()
        self.assertEqual(heard.calls, [("stays", "1", "i")])
        await self.numsub("feed.edit:x", 0)
        self.assertEqual(await self.counted(CHANNEL), 1)

    async def test_cancelled_and_registered_again(self) -> None:
        """A channel whose only registration was cancelled can be registered again."""
        heard = Recorder()
        for _ in range(10):
            pending = self.sub_.register_handler(CHANNEL, heard.named("cancelled"))
            pending.cancel()
            await self.assertFailure(pending, CancelledError)
        await self.sub_.register_handler(CHANNEL, heard.named("stays"))
        self.assertEqual(await self.counted(CHANNEL), 1)
        await self.feed.publish("i", "1")
        await self.settle()
        self.assertEqual(heard.calls, [("stays", "1", "i")])

    async def test_refused(self) -> None:
        """A channel that Redis refuses fails its own registration only."""
        await self.raw.send(
            *("ACL", "SETUSER", "deaf", "on", ">secret", "allkeys", "allcommands"),
            *("resetchannels", "&allowed", "&settled"),
        )
        self.addCleanup(self.raw.send, "ACL", "DELUSER", "deaf")
        deaf = await self.sub(username="deaf", password="secret")
        heard = Recorder()
        refused = deaf.register_handler(CHANNEL, heard.named("refused"))
        allowed = deaf.register_handler("allowed", heard.named("allowed"))
        await self.assertFailure(refused, Exception)
        await allowed
        await self.raw.publish("allowed", "m")
        self.assertEqual(await heard.wait(1), [("allowed", "m")])
