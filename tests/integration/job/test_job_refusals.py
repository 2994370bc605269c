"""A refused call of a newer job or queue verb changes nothing and publishes nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from twisted.internet.defer import Deferred

from tests.support import RedisTestCase, pairs
from txthoonk.errors import (
    FeedDoesNotExist,
    InvalidInput,
    InvalidType,
    ResponseError,
    ThoonkError,
)
from txthoonk.types import Claim, Job, Queue
from txthoonk.wire._keys import feed_keys, kept_result_key

HOUR = 3600
ERROR = ValueError("no")

VERBS: dict[str, Callable[[Job], Deferred[Any]]] = {
    "put delayed": lambda job: job.put("item", id_="new", delay=HOUR),
    "put delayed, the first": lambda job: job.put("item", job.HIGH, "new", delay=1),
    "put_many": lambda job: job.put_many(["item", "item"], ids=["new", "newer"]),
    "get": lambda job: job.get(),
    "finish": lambda job: job.finish("claimed"),
    "finish with a result": lambda job: job.finish("claimed", "result", 60),
    "cancel": lambda job: job.cancel("claimed"),
    "stall": lambda job: job.stall("claimed", "why"),
    "fail": lambda job: job.fail("claimed", ERROR),
    "fail with a delay": lambda job: job.fail("claimed", ERROR, HOUR),
    "fail for the last time": lambda job: job.fail("failing", ERROR, HOUR),
    "release": lambda job: job.release("claimed"),
    "renew": lambda job: job.renew("claimed"),
    "progress": lambda job: claim_of(job, "claimed").progress(1, 2, "note"),
    "retry": lambda job: job.retry("stalled"),
    "edit": lambda job: job.edit("available", "other"),
    "edit a delayed one": lambda job: job.edit("delayed", "other"),
    "retract": lambda job: job.retract("available"),
    "retract a delayed one": lambda job: job.retract("delayed"),
    "drain": lambda job: job.drain(),
    "what is due": lambda job: job._deadlines.look(),
    "old claims": lambda job: job.maintenance(),
}
#: Verbs that publish nothing, and verbs that publish only with a history.
SILENT = ("put delayed", "renew", "edit a delayed one", "get", "old claims")
NOTED = ("retract", "retract a delayed one", "drain")
#: Milliseconds at which the next job is due, for verbs that need it to be in the future.
DUE = {"put delayed, the first": "3.9e12"}
ADDING = ("put", "put_many", "edit", "progress")


def claim_of(job: Job, id_: str) -> Claim:
    claim = Claim(id_, "item", 0)
    claim.job = job
    return claim


class RefusalTestCase(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.pub_ = await self.pub()
        self.spied = await self.spy()
        self.complaints: list[str] = []

    def complain(self, *what: Any) -> None:
        self.complaints.append(" ".join(map(str, what)))

    async def seed(self, history: bool = False, due: str = "3") -> None:
        """Make a job feed in which every verb has something to do."""
        await self.raw.flushdb()
        keep = {"keep_stalled": 1, "keep_results": 1}
        await self.pub_.job("x", {"timeout": 60, "max_failures": 3, **keep})
        if history:
            await self.pub_.set_config("x", {"history": 10})
        commands = (
            "RPUSH feed.ids:x second available",
            "HSET feed.items:x available 1 claimed 2 stalled 3 older 4 second 5 old 6 failing 7",
            "SET feed.publishes:x 6",
            "SET feed.finishes:x 9",
            "ZADD feed.published:x 1 available 2 claimed 3 second",
            "ZADD feed.claimed:x 2 old 4e12 claimed 4e12 failing",
            "HSET feed.claims:x old else:2 claimed else:4e12",
            "HSET feed.cancelled:x claimed 1 available 1 failing 2",
            "HSET feed.progress:x claimed {} old {}",
            "SADD feed.stalled:x stalled older",
            "ZADD feed.failed:x 2 stalled 1 older",
            "HSET feed.failures:x stalled 3",
            f"ZADD feed.delayed:x {due} due 4e12 delayed",
            "HSET feed.later:x due Litem delayed Litem",
            "ZADD feed.results:x 4e12 older-result 4e12 claimed",
        )
        for command in commands:
            await self.raw.send(*command.split())
        await self.raw.send("RPUSH", kept_result_key("x", "claimed"), "old", "2")
        await self.looked()
        await self.spied.messages()

    async def refused(self, what: Any, call: Any, error: type[Exception] = ThoonkError) -> None:
        """Check that a call fails, changes nothing and publishes nothing."""
        before = await self.state()
        failure = await call().addCallbacks(lambda _: None, lambda reason: reason.value)
        if not isinstance(failure, error):
            self.complain(what, "was not refused:", failure)
        after = await self.state()
        for key in sorted({*before, *after}):
            if before.get(key) != after.get(key):
                self.complain(what, "changed", key, before.get(key), "->", after.get(key))
        told = await self.spied.messages(own=True)
        if told:
            self.complain(what, "told", told)


class WrongTypeTests(RefusalTestCase):
    async def each_key(self, history: bool) -> None:
        failed = set()
        for number in range(len(feed_keys("x"))):
            for name, verb in VERBS.items():
                await self.seed(history, DUE.get(name, "3"))
                key = feed_keys("x")[number]
                if await self.raw.send("TYPE", key) == b"string" or "config" in key:
                    continue
                await self.raw.send("SET", key, "foreign")
                before = await self.state()
                failure = await verb(Job(self.pub_, "x")).addCallbacks(
                    lambda _: None, lambda reason: reason.value
                )
                told = await self.spied.messages(own=True)
                if await self.value(key) != b"foreign":
                    self.complain(name, "overwrote", key)
                if failure is None or name == "old claims":  # which takes several steps
                    continue
                failed.add((name, key))
                if not isinstance(failure, ResponseError):
                    self.complain(name, key, "failed with", repr(failure))
                after = await self.state()
                changed = [one for one in {*before, *after} if before.get(one) != after.get(one)]
                if changed or told:
                    self.complain(f"{name}, {key} in the way: changed {changed}, told {told}")
        self.assertGreater(len(failed), 100)
        self.assertEqual(self.complaints, [], "\n" + "\n".join(self.complaints))

    async def test_foreign_keys(self) -> None:
        """A key of the wrong type fails every verb that would write it, before any change."""
        await self.each_key(False)

    async def test_foreign_keys_with_a_history(self) -> None:
        """A key of the wrong type fails every verb of a feed with history, before any change."""
        await self.each_key(True)

    async def test_counter(self) -> None:
        """A publish counter that is not a number fails the verbs that increment it."""
        for name in ("put_many", "what is due"):
            for history in (False, True):
                await self.seed(history)
                await self.raw.send("SET", "feed.publishes:x", "many")
                job = Job(self.pub_, "x")
                await self.refused(name, lambda job=job, name=name: VERBS[name](job))
        self.assertEqual(self.complaints, [], "\n" + "\n".join(self.complaints))


class DueAtOnceTests(RefusalTestCase):
    async def test_put(self) -> None:
        """A put that is due at once but cannot enter the line stays a delayed job."""
        await self.seed()
        await self.raw.send("SET", "feed.publishes:x", "many")
        self.assertEqual(await Job(self.pub_, "x").put("item", id_="new", delay=0), "new")
        self.assertIn("new", await Job(self.pub_, "x").get_ids("delayed"))


class ServerTests(RefusalTestCase):
    async def test_channels_refused(self) -> None:
        """A user who may not publish on a job feed's channels cannot change the feed."""
        await self.raw.send(
            *("ACL", "SETUSER", "mute", "on", ">secret", "allkeys", "allcommands", "resetchannels")
        )
        self.addCleanup(self.raw.send, "ACL", "DELUSER", "mute")
        mute = await self.pub(username="mute", password="secret")
        for history in (False, True):
            for name, verb in VERBS.items():
                if name in SILENT or (name in NOTED and not history):
                    continue
                await self.seed(history, DUE.get(name, "3"))
                await self.refused(
                    (name, history), lambda verb=verb: verb(Job(mute, "x")), ResponseError
                )
        self.assertEqual(self.complaints, [], "\n" + "\n".join(self.complaints))

    async def test_one_channel_refused(self) -> None:
        """A user who may not publish on one channel that a verb needs cannot change the feed."""
        for index, (channel, name) in enumerate(
            (
                ("feed.publishes:x", "put_many"),
                ("feed.publishes:x", "what is due"),
                ("feed.cancelled:x", "fail with a delay"),
                ("feed.stalled:x", "fail for the last time"),
                ("feed.stalled:x", "stall"),
                ("feed.retried:x", "release"),
                ("feed.progress:x", "progress"),
                ("feed.edit:x", "edit"),
            )
        ):
            user = f"mute{index}"
            others = [
                f"&feed.{one}:x"
                for one in ("event", "delayed", "publishes", "cancelled", "stalled", "edit")
                if f"feed.{one}:x" != channel
            ]
            await self.raw.send(
                *("ACL", "SETUSER", user, "on", ">secret", "allkeys", "allcommands"),
                *("resetchannels", *others),
            )
            self.addCleanup(self.raw.send, "ACL", "DELUSER", user)
            mute = await self.pub(username=user, password="secret")
            for history in (False, True):
                await self.seed(history)
                before = await self.state()
                failure = await VERBS[name](Job(mute, "x")).addErrback(lambda reason: reason.value)
                self.assertIsInstance(failure, ResponseError, name)
                after = await self.state()
                # A revision that was published but not used invalidates the history.
                after.pop(b"feed.revision:x", None), before.pop(b"feed.revision:x", None)
                self.assertEqual(after, before, (name, history))

    async def test_no_memory(self) -> None:
        """Without memory, verbs that add data fail, and all other verbs succeed."""
        (_, limit), *_ = pairs(await self.raw.send("CONFIG", "GET", "maxmemory"))
        self.addCleanup(self.raw.send, "CONFIG", "SET", "maxmemory", limit)
        for history in (False, True):
            for name, verb in VERBS.items():
                await self.seed(history)
                await self.raw.send("CONFIG", "SET", "maxmemory", "1")
                if name.split()[0] in ADDING:
                    await self.refused(name, lambda verb=verb: verb(Job(self.pub_, "x")))
                else:
                    before = await self.state()
                    failure = await verb(Job(self.pub_, "x")).addCallbacks(
                        lambda _: None, lambda reason: reason.value
                    )
                    if failure is not None or await self.state() == before:
                        self.complain(name, "was refused:", failure)
                await self.raw.send("CONFIG", "SET", "maxmemory", limit)
        self.assertEqual(self.complaints, [], "\n" + "\n".join(self.complaints))

    async def test_replica(self) -> None:
        """A replica refuses every verb, before any change."""
        for name, verb in VERBS.items():
            await self.seed()
            await self.raw.send("REPLICAOF", "127.0.0.1", "1")
            try:
                await self.refused(name, lambda verb=verb: verb(Job(self.pub_, "x")))
            finally:
                await self.raw.send("REPLICAOF", "NO", "ONE")
        self.assertEqual(self.complaints, [], "\n" + "\n".join(self.complaints))

    async def test_missing_feed(self) -> None:
        """Every verb fails with FeedDoesNotExist on a missing feed and writes nothing."""
        others = {
            "pause": lambda job: job.pause(),
            "resume": lambda job: job.resume(),
            "is_paused": lambda job: job.is_paused(),
            "drain all": lambda job: job.drain(True),
        }
        for name, verb in {**VERBS, **others}.items():
            await self.seed()
            await self.raw.send("DEL", "feeds", "feed.config:x")
            await self.refused(name, lambda verb=verb: verb(Job(self.pub_, "x")), FeedDoesNotExist)
        self.assertEqual(self.complaints, [], "\n" + "\n".join(self.complaints))


WRONG: tuple[Any, ...] = ("1", True, [])


class BadInputTests(RefusalTestCase):
    async def test_calls(self) -> None:
        """Bad input fails the call with an error that names the value, and changes nothing."""
        await self.seed()
        job: Any = Job(self.pub_, "x")
        queue = Queue(self.pub_, "x")
        naive = datetime(2030, 1, 1)
        claim: Any = claim_of(job, "claimed")
        calls: tuple[tuple[Callable[[], Any], str, type[Exception]], ...] = (
            *((lambda v=v: job.put("i", delay=v), repr(v), InvalidType) for v in WRONG),
            *((lambda v=v: job.put("i", delay=v), repr(v), InvalidInput)
              for v in (-1, -0.001, float("nan"), float("inf"), 10**10)),
            *((lambda v=v: job.put("i", at=v), repr(v), InvalidType) for v in WRONG),
            *((lambda v=v: job.put("i", at=v), repr(v), InvalidInput)
              for v in (-1, float("nan"), float("inf"), 10**12)),
            (lambda: job.put("i", at=naive), "2030", InvalidInput),
            (lambda: job.put("i", delay=1, at=1), "both", InvalidInput),
            (lambda: job.put(5, delay=1), "5", InvalidType),
            (lambda: job.put("i", 2, delay=1), "2", InvalidInput),
            (lambda: job.put("i", id_="a\0", delay=1), r"'a\x00'", InvalidInput),
            (lambda: job.fail("claimed", b"text"), "b'text'", InvalidType),
            (lambda: job.fail("claimed", None), "None", InvalidType),
            (lambda: job.fail("claimed", ValueError), "ValueError", InvalidType),
            (lambda: job.fail("claimed", ERROR, -1), "-1", InvalidInput),
            (lambda: job.fail("claimed", ERROR, "1"), "'1'", InvalidType),
            (lambda: job.fail("claimed", ERROR, float("nan")), "nan", InvalidInput),
            (lambda: job.fail("a\0", ERROR), r"'a\x00'", InvalidInput),
            (lambda: job.fail(None, ERROR), "None", InvalidType),
            (lambda: job.stall("claimed", 5), "5", InvalidType),
            (lambda: job.stall("claimed", b"why"), "b'why'", InvalidType),
            (lambda: job.release("a\0"), r"'a\x00'", InvalidInput),
            (lambda: job.release(None), "None", InvalidType),
            (lambda: job.edit("available", 5), "5", InvalidType),
            (lambda: job.edit("a\0", "item"), r"'a\x00'", InvalidInput),
            (lambda: job.edit(None, "item"), "None", InvalidType),
            (lambda: job.get_failure("a\0"), r"'a\x00'", InvalidInput),
            (lambda: job.get_progress("a\0"), r"'a\x00'", InvalidInput),
            (lambda: job.wait("a\0"), r"'a\x00'", InvalidInput),
            (lambda: job.wait("a", -1), "-1", InvalidInput),
            (lambda: job.wait("a", "1"), "'1'", InvalidType),
            (lambda: job.wait("a", None), "None", InvalidType),
            (lambda: job.get_ids("Delayed"), "'Delayed'", InvalidInput),
            (lambda: claim.progress("half"), "'half'", InvalidType),
            (lambda: claim.progress(None), "None", InvalidType),
            (lambda: claim.progress(True), "True", InvalidType),
            (lambda: claim.progress(-1), "-1", InvalidInput),
            (lambda: claim.progress(float("nan")), "nan", InvalidInput),
            (lambda: claim.progress(1, float("inf")), "inf", InvalidInput),
            (lambda: claim.progress(1, "2"), "'2'", InvalidType),
            (lambda: claim.progress(1, 2, 3), "3", InvalidType),
            (lambda: job.set_config({"paused": 2}), "'2'", InvalidInput),
            (lambda: job.set_config({"paused": "yes"}), "'yes'", InvalidInput),
            (lambda: queue.set_config({"paused": ""}), "''", InvalidInput),
        )  # fmt: skip
        before = await self.state()
        for call, value, kind in calls:
            try:
                (error,) = await call().addBoth(lambda result: [getattr(result, "value", result)])
            except Exception as raised:  # noqa: BLE001 - it shall fail the Deferred
                self.complain("raised", repr(raised))
                continue
            if not isinstance(error, kind) or value not in str(error):
                self.complain(value, "gave", repr(error))
        self.assertEqual(self.complaints, [], "\n" + "\n".join(self.complaints))
        self.assertEqual((await self.state(), await self.spied.messages(own=True)), (before, []))
