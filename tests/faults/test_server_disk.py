"""The data on disk: a server that dies, or whose disk is full, keeps what it acknowledged."""

from __future__ import annotations

from typing import Any

from tests.faults.server_case import ServerFaultTestCase
from tests.faults.server_faults import FaultyServer
from tests.support.waiting import until
from txthoonk.errors import ConnectionLost, NotSent
from txthoonk.service import Thoonk

ROOM = 20_000  # bytes; enough for some puts


def ignored(_: object) -> None:
    """Ignore a Deferred."""


class DurableTestCase(ServerFaultTestCase):
    """A server that writes each change to the disk before it replies."""

    async def setUp(self) -> None:
        self.faulty = FaultyServer(appendfsync="always")
        await super().setUp()
        self.addCleanup(self.faulty.stop)

    async def burst(self, thoonk: Thoonk, end: Any) -> tuple[list[str], list[str]]:
        """Put jobs until the server is gone; return the acknowledged ids, and the others."""
        job = await thoonk.job("j", {"history": 10_000})
        ids = [str(number) for number in range(1000)]
        calls = [job.put("work" * 10, id_=id_) for id_ in ids]
        calls[300].addCallback(end)
        acknowledged, unknown = [], []
        for id_, call in zip(ids, calls, strict=True):
            error = await call.addCallbacks(lambda _: None, lambda reason: reason.value)
            if error is None:
                acknowledged.append(id_)
            else:
                self.assertIsInstance(error, ConnectionLost)
                self.assertNotIsInstance(error, NotSent)
                unknown.append(id_)
        return acknowledged, unknown

    async def restarted(self) -> None:
        """Start the server again with the data on its disk."""
        await until(lambda: not self.faulty.is_up)
        await self.faulty.start()
        self.raw = await self.redis(charset=None)

    async def consistent(self, thoonk: Thoonk, acknowledged: list[str]) -> None:
        """Check that every acknowledged job exists, and that all records agree."""
        await thoonk.whenConnected()
        job = await thoonk.job("j")
        ids = await job.get_ids()
        self.assertLessEqual(set(acknowledged), set(ids))
        self.assertEqual(sorted(ids, key=int), [str(number) for number in range(len(ids))])
        self.assertEqual((await job.stats())["publishes"], len(ids))
        self.assertEqual(await job.revision(), len(ids))
        events = [event.id for event in await job.get_history()]
        self.assertEqual(events, sorted(ids, key=int))
        self.assertEqual(await job.put("more", id_="more"), "more")


class KilledTests(DurableTestCase):
    async def test_killed(self) -> None:
        """A server killed under load keeps what it acknowledged, and has nothing half done."""
        thoonk = await self.thoonk()
        assert self.faulty.server is not None
        kill = self.faulty.server.kill
        acknowledged, unknown = await self.burst(thoonk, lambda _: ignored(kill()))
        self.assertTrue(len(acknowledged) > 300 and unknown)
        await self.restarted()
        await self.consistent(thoonk, acknowledged)


class FullTests(DurableTestCase):
    async def test_full(self) -> None:
        """A full disk ends the server, and no acknowledged job is lost."""
        thoonk = await self.thoonk(wait=0)
        job = await thoonk.job("j", {"history": 10_000})
        self.faulty.leave_room(ROOM)
        acknowledged: list[str] = []
        error = None
        while error is None:
            id_ = str(len(acknowledged))
            put = job.put("work", id_=id_)
            error = await put.addCallbacks(acknowledged.append, lambda reason: reason.value)
        self.assertTrue(acknowledged)
        self.assertIsInstance(error, ConnectionLost)
        self.assertIn("may or may not have been done", str(error))
        await self.restarted()
        await self.consistent(thoonk, acknowledged)
