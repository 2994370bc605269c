"""Gets wait even where CLIENT is forbidden, or has another name."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import CancelledError, gatherResults

from tests.support import RedisTestCase, server_url
from tests.support.server import ServerTestCase, ask, until_blocked
from txthoonk import Thoonk
from txthoonk.client import ThoonkPubFactory

reactor: Any = installed_reactor


class RenamedTests(ServerTestCase):
    """A server that does not know CLIENT."""

    async def setUp(self) -> None:
        options = ("--rename-command", "CLIENT", "")
        self.redis = await self.server(arguments=options).start()

    async def blocked(self, count: int) -> None:
        await until_blocked(self.redis, count)

    async def works(self, pub: Any) -> None:
        queue, job = await pub.queue("q"), await pub.job("j")
        gets = [queue.get() for _ in range(3)]
        claim = job.get()
        await self.blocked(2)
        for number in range(3):
            await queue.put(str(number))
        await job.put("work", id_="a")
        self.assertEqual(await gatherResults(gets), ["0", "1", "2"])
        self.assertEqual(tuple(await claim), ("a", "work", 0))

    async def cancelled(self, pub: Any) -> None:
        """Check that an item that arrives while a cancelled BLMOVE ends goes to another get."""
        queue = await pub.queue("q")
        cancelled = queue.get()
        await self.blocked(1)
        cancelled.cancel()
        await self.assertFailure(cancelled, CancelledError)
        await queue.put("item")
        self.assertEqual(await queue.get(), "item")
        self.assertEqual(await ask(self.redis, "EXISTS", queue.feed_ids, queue.feed_transit), 0)

    async def test_service(self) -> None:
        """Gets wait on a service, and its checks find them alive."""
        thoonk = Thoonk(self.redis.url, reactor, health=0.05)
        self.addCleanup(thoonk.close)
        await thoonk.connect()
        waiting = (await thoonk.queue("other")).get()
        await self.works(thoonk)
        self.assertNoResult(waiting)
        waiting.addErrback(lambda reason: reason.trap(CancelledError))
        waiting.cancel()
        await self.blocked(0)
        await self.cancelled(thoonk)

    async def test_bare(self) -> None:
        """Gets wait on a bare publisher."""
        pub: Any = await self.redis.endpoint().connect(ThoonkPubFactory())
        self.addCleanup(pub.close)
        await self.works(pub)
        await self.cancelled(pub)


class ForbiddenTests(RedisTestCase):
    """A user without the right to CLIENT, or to a part of it."""

    async def test_rules(self) -> None:
        """Gets wait with any part of CLIENT forbidden."""
        for number, allowed in enumerate(([], ["+client|id"], ["+client|unblock"])):
            user = f"waiting-{number}"
            words = ["reset", "on", ">secret", "~*", "&*", "+@all", "-client", *allowed]
            await self.raw.send("ACL", "SETUSER", user, *words)
            self.addCleanup(self.raw.send, "ACL", "DELUSER", user)
            thoonk = Thoonk(await server_url(), reactor, username=user, password="secret")
            self.addCleanup(thoonk.close)
            queue: Any = await (await thoonk.connect()).queue("q")
            got = queue.get()
            await self.blocked()
            await queue.put(user)
            self.assertEqual(await got, user)
