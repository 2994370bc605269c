"""Connections that the server refuses or ends: passwords, users, and a full server."""

from __future__ import annotations

from typing import Any

from tests.faults.server_case import ServerFaultTestCase
from tests.support import Recorder
from tests.support.waiting import until
from txthoonk.client import ThoonkPubFactory
from txthoonk.errors import (
    AuthenticationError,
    ConnectionLost,
    NotSent,
    RedisError,
    ResponseError,
)

WRONG = "WRONGPASS"


class PasswordTests(ServerFaultTestCase):
    """Errors of credentials and of rights: ``NOAUTH``, ``WRONGPASS`` and ``NOPERM``."""

    async def test_bare_without(self) -> None:
        """Without the password, the first call of a bare publisher fails, whichever it is."""
        async with self.faulty.password("secret"):
            for call in (
                lambda pub: pub.feed_exists("x"),
                lambda pub: pub.feed("x"),
                lambda pub: pub.create_feed("x"),
            ):
                await self.fails(call(await self.pub()), AuthenticationError)

    async def test_wrong(self) -> None:
        """A wrong password fails connect() at once, and every call of a bare publisher."""
        async with self.faulty.password("secret"):
            thoonk = self.make(password="wrong")
            await self.fails(thoonk.connect(), AuthenticationError, WRONG)
            pub: Any = await self.target.endpoint(self.clock).connect(
                ThoonkPubFactory(password="no")
            )
            await self.fails(pub.feed("x"), AuthenticationError, WRONG)
            await pub.close()

    async def test_user_is_removed(self) -> None:
        """A service whose user is removed reports the reason, and goes on once the user is back.

        Its waiting get keeps waiting, and its handlers receive messages again.
        """
        async with self.faulty.user("allkeys", "allcommands", "allchannels") as user:
            thoonk = await self.thoonk(wait=0.05, **user)
            queue = await thoonk.queue("q")
            heard = Recorder()
            await thoonk.register_handler("feed.publish:x", heard)
            get = queue.get()
            await self.blocked(1)
            await self.faulty.ask("ACL", "DELUSER", user["username"])
            await until(
                lambda: (
                    thoonk._connections.publisher.failures
                    and thoonk._connections.subscriber.failures
                )
            )
            await self.fails(queue.put("lost"), NotSent, "invalid username-password pair")
            async with self.faulty.user("allkeys", "allcommands", "allchannels"):
                await thoonk.whenConnected()
                await self.numsub("feed.publish:x", 1)
                await (await thoonk.feed("x")).publish("item", "id")
                await queue.put("item")
                self.assertEqual(await get, "item")
                self.assertEqual(await heard.wait(1), [("id", "item")])

    async def test_rights_are_taken(self) -> None:
        """Without the right to call scripts nothing is done; once it is back, all works again."""
        async with self.faulty.user("allkeys", "allcommands", "allchannels") as user:
            thoonk = await self.thoonk(**user)
            feed, before = await thoonk.feed("x"), await self.state()
            await self.faulty.ask("ACL", "SETUSER", user["username"], "-evalsha", "-eval")
            await self.fails(feed.publish("item", "id"), ResponseError, "NOPERM")
            self.assertEqual(await self.state(), before)
            self.assertEqual(await feed.get_ids(), [])
            await self.faulty.ask("ACL", "SETUSER", user["username"], "+evalsha", "+eval")
            self.assertEqual(await feed.publish("item", "id"), "id")


class CrowdTests(ServerFaultTestCase):
    """``maxclients``: the server accepts no more connections."""

    async def test_bare(self) -> None:
        """The calls of a new bare publisher fail with the reason."""
        async with self.faulty.crowded():
            pub: Any = await self.target.endpoint(self.clock).connect(ThoonkPubFactory())
            await self.fails(pub.feed("x"), RedisError, "max number of clients")
        self.assertIsNotNone(await (await self.pub()).feed("x"))

    async def test_service(self) -> None:
        """connect() with a timeout fails with the reason, and without one it waits."""
        self.halfway = True
        async with self.faulty.crowded():
            thoonk = self.make()
            connecting = thoonk.connect(5.0)
            await until(lambda: thoonk._connections.publisher.failures > 0)
            await self.pass_time(5.0)
            await self.fails(connecting, ConnectionLost, "max number of clients")
            waiting = self.make().connect()
            await until(lambda: thoonk._connections.publisher.failures > 0)
            self.assertFalse(waiting.called)
        self.assertTrue((await waiting).running)

    async def test_bare_get(self) -> None:
        """A bare publisher's get that needs another connection fails, and takes no item."""
        pub = await self.pub()
        queue = await pub.queue("q")
        async with self.faulty.crowded():
            await self.fails(queue.get(), RedisError, "max number of clients")
        get = queue.get()
        await queue.put("item")
        self.assertEqual(await get, "item")

    async def test_gets(self) -> None:
        """Gets of a service wait until the server has room, and are then served in order."""
        thoonk = await self.thoonk()
        queue = await thoonk.queue("q")
        async with self.faulty.crowded():
            gets = [queue.get() for _ in range(3)]
            await until(lambda: queue._line is not None and queue._line._retry.failures > 0)
        await self.blocked(1)
        await (await self.pub()).queue("q")
        for item in "abc":
            await queue.put(item)
        self.assertEqual([await get for get in gets], ["a", "b", "c"])
