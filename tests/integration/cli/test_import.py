"""``thoonk import`` takes over jobs and feeds of thoonk.js 0.6 to 1.0, and loses none of them."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.support.cli import CommandTestCase
from txthoonk.cli.verbs import _import
from txthoonk.protocol._client import RedisProtocol
from txthoonk.testing import check_feed
from txthoonk.types import Job

PUT = 1700000000000  # as Date.now() gives it


class ImportTestCase(CommandTestCase):
    async def put(self, name: str, *ids: str) -> None:
        """Put jobs as thoonk.js 0.6 to 1.0 does."""
        for id_ in ids:
            self.raw.send("LPUSH", f"job.ids:{name}", id_)
            self.raw.send("INCR", f"job.publishes:{name}")
            self.raw.send("HSET", f"job.items:{name}", id_, f'{{"do": "{id_}"}}')
            self.raw.send("ZADD", f"job.published:{name}", PUT, id_)
        await self.raw.ping()

    async def fill(self, name: str = "mail") -> None:
        """Make a job feed with jobs in each state."""
        self.raw.send("SADD", "jobs", name)
        self.raw.send("HSET", f"job.config:{name}", "color", "red")
        await self.put(name, *"abcdefg")
        for id_ in "abc":
            self.raw.send("LREM", f"job.ids:{name}", 1, id_)
        self.raw.send("ZADD", f"job.claimed:{name}", PUT + 1, "a")
        self.raw.send("SADD", f"job.stalled:{name}", "b")
        self.raw.send("ZREM", f"job.published:{name}", "b")
        self.raw.send("HSET", f"job.cancelled:{name}", "d", "2")
        self.raw.send("INCRBY", f"job.publishes:{name}", 5)
        await self.raw.send("SET", f"job.finishes:{name}", "5")

    async def source(self) -> dict[bytes, Any]:
        state = await self.state()
        return {key: value for key, value in state.items() if key.startswith(b"job")}

    async def assertTaken(self, name: str = "mail") -> None:
        job = Job(self.publisher, name, "json")
        self.assertEqual(await self.value(f"feed.ids:{name}"), [b"g", b"f", b"e", b"d"])
        self.assertEqual(await self.value(f"feed.claimed:{name}"), [(b"a", PUT + 1)])
        self.assertEqual(await self.value(f"feed.stalled:{name}"), {b"b"})
        self.assertEqual(await self.value(f"feed.cancelled:{name}"), {b"d": b"2"})
        put = await self.value(f"feed.published:{name}")
        self.assertEqual(put, [(id_.encode(), PUT) for id_ in "acdefg"])
        self.assertEqual(
            await self.publisher.get_config(name),
            {"type": "job", "serializer": "json", "color": "red"},
        )
        stats = await job.stats()
        self.assertEqual((stats["publishes"], stats["finishes"]), (12, 5))
        self.assertEqual(await job.get(), ("d", {"do": "d"}, 2))
        self.assertEqual((await job.maintenance())["dated"], 1)  # c was in no state


class ImportTests(ImportTestCase):
    async def test_jobs(self) -> None:
        """Jobs keep ids, order, states, times and counts; the source stays as it is."""
        await self.fill()
        before = await self.source()
        lines = "mail: imported 7 jobs into mail\n"
        self.assertEqual(await self.thoonk("import"), (0, lines, ""))
        self.assertEqual(await self.source(), before)
        await self.assertTaken()
        status, _, err = await self.thoonk("import", "mail")
        self.assertEqual((status, "exists already" in err), (1, True))

    async def test_move(self) -> None:
        """With --move nothing is left in the old keys."""
        await self.fill()
        status, out, err = await self.thoonk("import", "mail", "--as", "letters", "--move")
        self.assertEqual((status, out, err), (0, "mail: imported 7 jobs into letters\n", ""))
        self.assertEqual(await self.source(), {})
        await self.assertTaken("letters")

    async def test_dry_run(self) -> None:
        """--dry-run changes nothing and publishes nothing."""
        await self.fill()
        await self.raw.sadd("feeds", "news")
        before, spied = await self.state(), await self.spy()
        status, out, err = await self.thoonk("import", "--dry-run")
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(
            out,
            "mail: would import 7 jobs into mail: 4 available, 1 claimed, 1 stalled\n"
            "news: would get the type feed\n",
        )
        self.assertEqual((await self.state(), await spied.messages(own=True)), (before, []))

    async def test_interrupted(self) -> None:
        """After an interruption at any step the command is repeated; no job is lost or doubled."""
        self.patch(_import, "MOST", 2)
        call = RedisProtocol.call
        for move in ((), ("--move",)):
            steps, status = 0, 1
            while status:
                await self.raw.flushdb()
                await self.fill()
                left = [steps]

                def stop(redis: Any, script: Any, *rest: Any, left: list[int] = left) -> Any:
                    called = call(redis, script, *rest)
                    if script.name.startswith("thoonkjs/"):
                        left[0] -= 1
                        if left[0] < 0:
                            redis.transport.loseConnection()
                    return called

                self.patch(RedisProtocol, "call", stop)
                status, _, _ = await self.thoonk("import", *move)
                self.patch(RedisProtocol, "call", call)
                present = await self.publisher.get_config("mail")
                if "importing" in present:
                    self.assertEqual((await self.thoonk("import", *move))[0], 0, steps)
                self.assertEqual(await self.value("feed.ids:mail"), [b"g", b"f", b"e", b"d"])
                await self.assertTaken()
                steps += 1
            self.assertGreater(steps, 4)

    async def test_paused(self) -> None:
        """Workers get nothing before all jobs are in the feed."""
        await self.fill()
        config = {"type": "job", "paused": "1", "importing": "mail"}
        await self.publisher.create_feed("mail", config, force=True)
        waiting = Job(self.publisher, "mail").get()
        await self.publisher.redis.ping()
        self.assertNoResult(waiting)
        await self.thoonk("import")
        self.assertEqual((await waiting).id, "d")
        self.assertEqual(await check_feed(self.publisher, "mail"), [])

    async def test_taken_name(self) -> None:
        """A feed that exists is not changed."""
        await self.fill()
        await self.publisher.feed("mail")
        before = await self.state()
        status, out, err = await self.thoonk("import", "mail")
        self.assertEqual((status, out), (1, ""))
        self.assertIn("--as", err)
        self.assertEqual(await self.state(), before)

    async def test_new_jobs(self) -> None:
        """With --move, jobs that are put meanwhile are not lost; the command says so."""
        await self.fill()
        call = RedisProtocol.call

        def late(redis: Any, script: Any, *rest: Any) -> Deferred[Any]:
            if script.name == "thoonkjs/end_import":
                self.raw.send("HSET", "job.items:mail", "late", "{}")
                self.raw.send("LPUSH", "job.ids:mail", "late")
                return self.raw.ping().addCallback(lambda _: call(redis, script, *rest))
            return call(redis, script, *rest)

        self.patch(RedisProtocol, "call", late)
        status, _, err = await self.thoonk("import", "--move")
        self.assertEqual((status, "1 more have been put" in err), (1, True), err)
        self.patch(RedisProtocol, "call", call)
        await self.thoonk("import", "--move")
        self.assertEqual((await self.value("feed.ids:mail"))[0], b"late")
        self.assertEqual(await self.source(), {})

    async def test_feeds(self) -> None:
        """A feed of thoonk.js gets its type, which is announced; others are left alone."""
        await self.raw.sadd("feeds", "news", "list", "old")
        await self.raw.hset("feed.config:news", "max_length", "3")
        await self.raw.send("ZADD", "feed.ids:news", PUT, "1")
        await self.raw.hset("feed.items:news", "1", "hello")
        await self.raw.send("LPUSH", "feed.ids:list", "1")
        await self.raw.set("feed.config:old", '{"type": "feed"}')
        await self.publisher.feed("ours")
        spied = await self.spy()
        status, out, err = await self.thoonk("import")
        self.assertEqual((status, out), (1, "news: has the type feed now\n"), err)
        self.assertIn("list: it has no type, and is no plain feed", err)
        self.assertIn("1 of 2 feeds could not be imported", err)
        channels = [channel for channel, _ in await spied.messages()]
        self.assertEqual(channels, [b"conffeed", b"newfeed"])
        self.assertEqual(await (await self.publisher.feed("news")).get_all(), {"1": "hello"})


class HintTests(ImportTestCase):
    async def test_hints(self) -> None:
        """Where such a job feed is met, the command names it and what to do."""
        await self.fill()
        status, out, err = await self.thoonk("feeds")
        self.assertEqual((status, out), (0, ""))
        self.assertIn("thoonk.js 0.6 to 1.0, too: mail ('thoonk import'", err)
        status, _, err = await self.thoonk("jobs", "mail")
        self.assertEqual(status, 1)
        self.assertIn("'thoonk import' takes over its jobs", err)
        (found,) = await check_feed(self.publisher, "mail")
        self.assertIn("'thoonk import' takes over its jobs", found)

    async def test_other_programs(self) -> None:
        """A key named jobs of another program is not taken for a registry."""
        await self.raw.sadd("jobs", "mail")
        self.assertEqual(await self.thoonk("feeds"), (0, "", ""))
        await self.raw.delete("jobs")
        await self.raw.set("jobs", "foreign")
        self.assertEqual(await self.thoonk("feeds"), (0, "", ""))
        self.assertEqual(await self.thoonk("import"), (0, "", "there is nothing to import\n"))
        status, _, err = await self.thoonk("import", "mail")
        self.assertEqual(status, 1)
        self.assertIn("mail: neither a feed nor a job feed of thoonk.js has this name", err)
