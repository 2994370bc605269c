"""A database or password that is chosen at run time also applies to later connections."""

from __future__ import annotations

from typing import Any

import attr
from twisted.internet import reactor as installed_reactor

from tests.chaos._support import returning
from tests.support import RedisTestCase, server_url
from tests.support.waiting import until
from txthoonk import Thoonk
from txthoonk.client import ThoonkPub
from txthoonk.errors import ConnectionLost

reactor: Any = installed_reactor


class SelectedTests(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.other = await self.redis(db=9)
        await self.other.flushdb()
        self.addCleanup(self.other.flushdb)

    async def thoonk(self, **options: Any) -> Thoonk:
        thoonk = Thoonk(await server_url(), reactor, retry_policy=lambda _: 0.01, **options)
        self.addCleanup(thoonk.close)
        return await thoonk.connect()

    async def cut(self, pub: Any) -> None:
        """Make the server close the publisher's connection."""
        await self.raw.send("CLIENT", "KILL", "ID", await pub.redis.send("CLIENT", "ID"))

    async def test_select(self) -> None:
        """A service stays in the selected database, and so do its waiting calls."""
        thoonk = await self.thoonk()
        await thoonk.redis.select(9)
        queue = await thoonk.queue("q")
        await self.cut(thoonk)
        for _ in range(2):
            got = queue.get()
            await self.blocked()
            await queue.put("item")
            self.assertEqual(await got, "item")
            await self.cut(thoonk)
        await queue.put("last")
        self.assertEqual(await self.other.send("LLEN", queue.feed_ids), 1)
        self.assertEqual(await self.raw.send("KEYS", "*"), [])

    async def test_select_bare(self) -> None:
        """A publisher whose factory reconnects it stays in the selected database."""
        pub: ThoonkPub = await returning(reactor, self.target)
        self.addCleanup(pub.close)
        await pub.redis.select(9)
        number = await pub.redis.send("CLIENT", "ID")
        lost = pub.redis.send("BLPOP", "nothing", 0)
        await self.raw.send("CLIENT", "KILL", "ID", number)
        await self.assertFailure(lost, ConnectionLost)
        await until(lambda: pub.redis.usable)
        await pub.feed("x")
        self.assertEqual(await self.other.send("SISMEMBER", "feeds", "x"), 1)

    async def test_auth(self) -> None:
        """All connections of a service use the new password, including the subscriber's."""
        await self.raw.send("ACL", "SETUSER", "default", ">old")
        self.addCleanup(self.raw.send, "ACL", "SETUSER", "default", "nopass")
        thoonk = await self.thoonk(password="old")
        await thoonk.register_handler("create", lambda *_: None)
        queue = await thoonk.queue("q")
        await self.raw.send("ACL", "SETUSER", "default", "resetpass", ">new")
        self.target = attr.evolve(self.target, password="new")
        await thoonk.redis.auth("new")
        await self.cut(thoonk)
        await self.raw.send("CLIENT", "KILL", "TYPE", "pubsub")
        await self.numsub("newfeed", 0)
        await thoonk.whenConnected()
        await self.numsub("newfeed", 1)
        got = queue.get()
        await self.blocked()
        await queue.put("item")
        self.assertEqual(await got, "item")

    async def test_changed_password(self) -> None:
        """A waiting ``get`` survives a change of the password."""
        await self.raw.send("ACL", "SETUSER", "default", ">old")
        self.target = attr.evolve(self.target, password="old")
        self.addCleanup(self.raw.send, "ACL", "SETUSER", "default", "nopass")
        thoonk = await self.thoonk(password="old")
        queue = await thoonk.queue("q")
        got = queue.get()
        await self.blocked()
        await self.raw.send("ACL", "SETUSER", "default", "resetpass", ">new")
        self.target = attr.evolve(self.target, password="new")
        await self.raw.send("ACL", "LOG", "RESET")
        blocked = await self.client_id("TYPE", "normal")
        await self.raw.send("CLIENT", "KILL", "ID", blocked)
        await self.blocked(0)
        await self.until_reply("ACL", "LOG", silent=True)
        await thoonk.redis.auth("new")
        await self.blocked()
        await queue.put("item")
        self.assertEqual(await got, "item")
