"""Each role of the ACL rules in docs/security.rst can do its work and nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from twisted.internet.defer import gatherResults

from tests.support import RedisTestCase
from tests.support.acl import RARE, ROLES, UNREACHED, AclTestCase, rules
from tests.support.waiting import until
from txthoonk import Event, Thoonk
from txthoonk.cli.top._rounds import Rounds
from txthoonk.errors import Empty
from txthoonk.maintenance import Maintenance
from txthoonk.metrics import Metrics
from txthoonk.types import Claim, Job, Queue
from txthoonk.worker import Worker


class RolesTests(AclTestCase):
    """Each role can do all of its work, and its rules grant nothing more."""

    async def check(self, role: str, story: Callable[[Thoonk], Awaitable[None]]) -> None:
        thoonk = await self.thoonk(role)
        await story(thoonk)
        await thoonk.close()
        granted = rules()[role]
        commands = {word[1:] for word in granted if word[0] == "+"}
        needed = await self.used.needed(self.raw) - UNREACHED.get(role, set())
        self.assertEqual(commands - set(RARE), needed - set(RARE))
        allowed = [word for word in granted if word[0] in "~&"]
        self.assertEqual([word for word in allowed if not self.used.has(word)], [])

    async def test_publisher(self) -> None:
        """A publisher opens, fills, changes, reads and deletes feeds, and waits for results."""
        await self.check("publisher", self.publish)

    async def publish(self, thoonk: Thoonk) -> None:
        feed = await thoonk.feed("news:f", {"max_length": 2, "history": 100})
        for id_ in ("1", "2", "2", "3"):
            await feed.publish("x", id_)
        await feed.get_item("3", with_revision=True)
        await feed.retract("3")
        await feed.get_all()
        await feed.get_ids()
        await feed.length()
        await feed.has_id("2")
        await feed.get_history()
        await thoonk.feed_exists("news:f")
        await thoonk.get_feed_names()
        sorted_ = await thoonk.sorted_feed("news:s", {"history": 10})
        one = await sorted_.append("x")
        await sorted_.publish_before(one, "y")
        await sorted_.edit(one, "z")
        await sorted_.move_first(one)
        await sorted_.get_items()
        await sorted_.get_ids()
        await sorted_.length()
        await sorted_.retract(one)
        queue = await thoonk.queue("news:q", {"history": 10})
        await queue.put("x")
        await queue.put_many(["y", "z"], Queue.HIGH)
        await queue.length()
        await queue.get_ids()
        job = await thoonk.job("news:j", {"history": 10})
        await self.publish_jobs(thoonk, job)
        for name in ("news:f", "news:s", "news:q", "news:j"):
            await thoonk.get_config(name)
            await thoonk.set_config(name, {"title": "x"})
            await thoonk.delete_feed(name)
        await thoonk.create_feed("news:c", {"type": "queue"})

    async def publish_jobs(self, thoonk: Thoonk, job: Any) -> None:
        await job.put("x", id_="1")
        await job.put("x", id_="2", delay=100)
        await job.put_many(["x"], ids=["3"])
        await job.edit("1", "y")
        await job.get_item("1")
        await job.get_ids()
        await job.get_failures()
        await job.get_progress("1")
        await job.get_failure_count("1")
        await job.stats()
        # Pass on a result of another implementation that another publisher waits for.
        await self.raw.send("ZADD", "feed.results:news:j", 10**15, "0")
        await job._results._calls.pass_on({"0": b"x"})
        waiting = [job.wait("1"), job.get_result("1")]
        await self.numsub("job.finish:news:j", 1)
        admins = await self.admin.job("news:j")
        claim = await admins.get()
        await admins.finish(claim, "done", timeout=100)
        self.assertEqual(await gatherResults(waiting), ["done", ("y", "done")])
        claim = await admins.get()
        await admins.stall(claim)
        await job.retry(claim.id)
        await job.retract("2")
        await job.put_many(["x", "y"])
        await job.drain(delayed=True)

    async def test_subscriber(self) -> None:
        """A subscriber follows feeds and name patterns, with their history and snapshots."""
        await self.check("subscriber", self.subscribe)

    async def subscribe(self, thoonk: Thoonk) -> None:
        feed = await self.admin.feed("news:f", {"history": 100})
        sorted_ = await self.admin.sorted_feed("news:s", {"history": 100})
        job = await self.admin.job("news:j", {"history": 100})
        ids = [await one.publish("x") for one in (feed, sorted_)]
        heard: list[Event] = []
        pattern = await thoonk.subscribe_pattern("news:*", heard.append, snapshot=True)
        await thoonk.subscribe("news:f", heard.append, since=0)
        await thoonk.subscribe("news:s", heard.append, snapshot=True)
        await thoonk.subscribe("news:j", heard.append)
        await thoonk.register_handler("create", lambda *parts: None)
        mirrors = [await thoonk.mirror(name) for name in ("news:f", "news:s")]
        self.assertEqual([list(mirror) for mirror in mirrors], [[id_] for id_ in ids])
        for one in (feed, sorted_):
            await one.publish("y")
            await one.retract(ids.pop(0))
        await job.finish(await self.put_and_get(job), "done")
        await until(lambda: {"retract", "finish"} <= {event.kind for event in heard})
        # A program that keeps no history changes the feed, so the next read restarts its history.
        await self.raw.send("INCR", "feed.publishes:news:f")
        await thoonk._sources.check()
        await until(lambda: any(event.kind == "resync" for event in heard))
        own = feed.__class__(thoonk, "news:f")
        await own.get_all()
        await own.get_ids()
        await own.length()
        await own.get_item("x", with_revision=True)
        await own.has_id("x")
        await own.get_history()
        await own.get_config()
        await sorted_.__class__(thoonk, "news:s").get_all()
        await sorted_.__class__(thoonk, "news:s").length()
        await own.__class__(thoonk, "news:none", "json").get_item("x")
        await thoonk.get_feed_names()
        await thoonk.feed_exists("news:f")
        pattern.stop()

    async def put_and_get(self, job: Any) -> Claim:
        await job.put("x")
        claim: Claim = await job.get()
        return claim

    async def test_worker(self) -> None:
        """A worker takes jobs and queue items, and reports their outcomes."""
        await self.check("worker", self.work)

    async def work(self, thoonk: Thoonk) -> None:
        ended: list[Any] = []

        async def handler(claim: Claim) -> str:
            ended.append(claim.id)
            await claim.progress(1, 2, "half")
            if claim.id == "bad" and not claim.cancelled:
                raise ValueError("bad")
            return "done"

        worker = Worker(
            "news:j", handler, config={}, thoonk=thoonk, back_off=lambda failures: 0.01
        )
        worker.startService()
        await until(lambda: bool(worker._consumers))
        admins = await self.admin.job("news:j", {"history": 10, "keep_results_for": 60})
        await self.admin.set_config("news:j", {"keep_results": 1, "keep_stalled": 1})
        results = [admins.wait(await admins.put("x", id_=id_)) for id_ in ("good", "bad")]
        self.assertEqual(await gatherResults(results), ["done", "done"])
        await worker.stopService()
        await self.by_hand(await thoonk.job("news:j"), admins)
        queue = await thoonk.queue("news:q")
        waiting = queue.get(1)
        await self.numsub("conffeed", 0)
        await (await self.admin.queue("news:q")).put("x")
        self.assertEqual(await waiting, "x")
        await self.assertFailure(queue.get(0.05), Empty)
        await thoonk.waiting_room.close()

    async def by_hand(self, job: Any, admins: Any) -> None:
        for id_ in ("cancel", "stall", "release", "fail", "renew"):
            await admins.put("x", id_=id_)
            claim = await job.get()
            self.assertEqual(claim.id, id_)
            if id_ == "fail":
                await job.fail(claim, ValueError("x"), 100)
            else:
                await getattr(job, id_)(claim)
            if id_ in ("cancel", "release"):
                await admins.retract(id_)
        await job.get_failure("fail")

    async def test_maintainer(self) -> None:
        """A maintainer repairs what other processes left unfinished."""
        await self.check("maintainer", self.maintain)

    async def maintain(self, thoonk: Thoonk) -> None:
        job = await self.admin.job("news:j", {"timeout": 1, "max_failures": 1, "history": 10})
        queue = await self.admin.queue("news:q", {"history": 10})
        await self.put_and_get(job)
        await self.raw.send("ZADD", job.feed_claimed, 5, (await job.get_ids())[0])
        await job.put("x", id_="later", delay=0.05)
        await queue.put("x")
        await self.raw.send("LMOVE", queue.feed_ids, queue.feed_transit, "LEFT", "LEFT")
        service = Maintenance(thoonk, ["news:j", "news:q"])
        service.startService()
        for state in ("stalled", "available"):
            await self.until_answer(partial(job.get_ids, state), lambda ids: len(ids) == 1)
        await until(lambda: service._pass is None)
        await service.stopService()
        for name in ("news:j", "news:q"):
            await (await self.own(thoonk, name)).maintenance()

    async def own(self, thoonk: Thoonk, name: str) -> Any:
        type_ = (await thoonk.get_config(name))["type"]
        return {"job": Job, "queue": Queue}[type_](thoonk, name)

    async def test_observer(self) -> None:
        """An observer reads feeds and workers, as thoonk top and the metrics do."""
        await self.check("observer", self.observe)

    async def observe(self, thoonk: Thoonk) -> None:
        job = await self.admin.job("news:j")
        await job.put("x")
        await self.put_and_get(job)
        await (await self.admin.feed("news:f")).publish("x")
        await (await self.admin.queue("news:q")).put("x")
        names = await thoonk.get_feed_names()
        for some in ((), sorted(names)):
            rounds = Rounds(thoonk.redis, lambda name: True, some)
            await rounds.look()
            found = rounds.feeds
            self.assertEqual((found.keys(), rounds.failed), (names, {}))
            self.assertEqual((found["news:j"].available, found["news:j"].claimed), (1, 1))
        metrics = Metrics(thoonk)
        metrics.startService()
        await until(lambda: len(metrics._feeds.overviews) == 2)
        await metrics.stopService()


class RefusalTests(AclTestCase):
    """The server refuses what a role does not need."""

    FORBIDDEN = (
        ("FLUSHALL",),
        ("FLUSHDB",),
        ("CONFIG", "GET", "*"),
        ("KEYS", "*"),
        ("SCAN", "0"),
        ("SHUTDOWN",),
        ("MONITOR",),
        ("ACL", "LIST"),
        ("ACL", "SETUSER", "news-worker", "+@all"),
        ("CLIENT", "KILL", "ID", "1"),
        ("CLIENT", "LIST"),
        ("SCRIPT", "FLUSH"),
        ("SWAPDB", "0", "1"),
        ("REPLICAOF", "localhost", "1"),
        ("SAVE",),
        ("GET", "secret"),
        ("HGETALL", "feed.items:other"),
        ("HSET", "feed.items:other", "id", "x"),
        ("LPUSH", "feed.ids:other:news:x", "x"),
        ("PUBLISH", "feed.publish:other", "1\0x"),
        ("SUBSCRIBE", "feed.publish:other"),
        ("PSUBSCRIBE", "*"),
        ("EVAL", "return redis.call('FLUSHALL')", "0"),
        ("EVAL", "return redis.call('HGETALL', 'feed.items:other')", "0"),
        ("EVAL", "return redis.call('HSET', 'feed.items:other', 'id', 'x')", "0"),
        ("EVAL", "return redis.call('PUBLISH', 'feed.publish:other', 'x')", "0"),
    )

    async def test_commands(self) -> None:
        """No role can run administrative commands, or use keys and channels of other feeds."""
        for role in ROLES:
            redis = await self.redis(username=f"news-{role}", password="secret")
            for command in self.FORBIDDEN:
                await self.refused(redis.send(*command))

    async def test_publisher(self) -> None:
        """A publisher of feeds with one prefix can neither read nor change other feeds."""
        other = await self.admin.feed("other", {"history": 5})
        tricky = await self.admin.feed("other:news:x")
        before = await self.state()
        thoonk = await self.thoonk("publisher")
        for feed in (other, tricky):
            own = type(feed)(thoonk, feed.name)
            await self.refused(own.publish("x"))
            await self.refused(own.get_all())
            await self.refused(own.delete_feed())
            await self.refused(own.set_config({"max_length": 1}))
        await self.refused(thoonk.job("other2"))
        await self.refused((await thoonk.job("news:j")).get())
        await self.refused(thoonk.publish_channel("feed.publish:other", "1", "x"))
        await self.admin.delete_feed("news:j")
        self.assertEqual(await self.state(), before)

    async def test_subscriber(self) -> None:
        """A subscriber cannot change feeds, and receives no events of other feeds."""
        feed = await self.admin.feed("news:f", {"history": 5})
        job = await self.admin.job("news:j")
        await self.admin.feed("other")
        id_ = await feed.publish("x")
        before = await self.state()
        thoonk = await self.thoonk("subscriber")
        own = type(feed)(thoonk, "news:f")
        for doing in (
            own.publish("x"),
            own.publish("x", id_),
            own.retract(id_),
            own.delete_feed(),
            own.set_config({"max_length": 1}),
            thoonk.create_feed("news:new"),
            type(job)(thoonk, "news:j").put("x"),
            thoonk.publish_channel("feed.publish:news:f", "1", "x"),
            thoonk.subscribe("other"),
            thoonk.subscribe_pattern("*"),
            thoonk.subscribe_pattern("news:a*"),
        ):
            await self.refused(doing)
        self.assertEqual(await self.state(), before)

    async def test_snapshots_without_history(self) -> None:
        """A snapshot of a feed without history needs the right to publish, as the page says."""
        feed = await self.admin.feed("news:f")
        id_ = await feed.publish("x")
        await self.refused((await self.thoonk("subscriber")).mirror("news:f"))
        await self.raw.send("ACL", "SETUSER", "news-subscriber", "+publish")
        thoonk = await self.thoonk("subscriber")
        self.assertEqual(dict(await thoonk.mirror("news:f")), {id_: "x"})
        self.assertEqual(await thoonk.publish_channel("feed.publish:news:f", "1", "forged"), 1)

    async def test_worker(self) -> None:
        """A worker cannot publish to a feed, delete a feed, or take jobs of other feeds."""
        feed = await self.admin.feed("news:f")
        job = await self.admin.job("news:j", {"history": 5})
        await job.put("x")
        before = await self.state()
        thoonk = await self.thoonk("worker")
        for doing in (
            type(feed)(thoonk, "news:f").publish("x"),
            thoonk.delete_feed("news:j"),
            type(job)(thoonk, "other").get(),
        ):
            await self.refused(doing)
        self.assertEqual(await self.state(), before)

    async def test_maintainer(self) -> None:
        """A maintainer can neither take jobs nor delete feeds."""
        job = await self.admin.job("news:j", {"history": 5})
        await job.put("x")
        before = await self.state()
        own = type(job)(await self.thoonk("maintainer"), "news:j")
        for doing in (own.get(), own.delete_feed()):
            await self.refused(doing)
        self.assertEqual(await self.state(), before)

    async def test_observer(self) -> None:
        """An observer can neither change anything nor subscribe."""
        feed = await self.admin.feed("news:f")
        await feed.publish("x", "1")
        before = await self.state()
        thoonk = await self.thoonk("observer")
        own = type(feed)(thoonk, "news:f")
        for doing in (
            own.publish("x"),
            own.retract("1"),
            thoonk.subscribe("news:f"),
            thoonk.redis.send("SREM", "feeds", "news:f"),
            thoonk.redis.send("EVAL", "return redis.call('SREM', 'feeds', 'news:f')", "0"),
        ):
            await self.refused(doing)
        self.assertEqual(await self.state(), before)

    async def test_what_is_left(self) -> None:
        """The rules leave the gaps that the page describes."""
        await self.admin.feed("other")
        await self.admin.feed("news:f")
        redis = await self.redis(username="news-publisher", password="secret")
        lua = """redis.call('HSET', 'feed.items:news:f', 'x', 'y')
            return redis.call('SREM', 'feeds', 'other')"""
        self.assertEqual(await redis.send("EVAL", lua, "0"), 1)
        self.assertEqual(await self.admin.get_feed_names(), {"news:f"})
        observer = await self.redis(username="news-observer", password="secret")
        self.assertEqual(await observer.send("HGET", "feed.items:news:f", "x"), "y")


class PageTests(RedisTestCase):
    async def test_rules(self) -> None:
        """Each role's rules start with no permissions, name every command, and repeat nothing."""
        for role, words in rules().items():
            self.assertEqual(words[:3], ["reset", "resetchannels", "on"], role)
            self.assertEqual([w for w in words if w in ("allkeys", "allchannels", "~*", "&*")], [])
            self.assertNotIn("+@", "".join(words))
            self.assertEqual(len(words), len(set(words)), role)
