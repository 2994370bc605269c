"""Invalid data that other programs stored causes clear errors, and stops nothing else."""

from __future__ import annotations

from typing import Any

import click
from prometheus_client import generate_latest
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import LogLevel

from tests.support.cli import Child
from tests.support.fuzzing import ESCAPES, NUMBERS, ODD, as_bytes
from tests.support.hostile import HostileTestCase, samples
from tests.support.waiting import until
from txthoonk.cli.top._view import as_lines, render
from txthoonk.errors import Empty, InvalidItem, ThoonkError
from txthoonk.maintenance import Maintenance
from txthoonk.metrics import Metrics
from txthoonk.monitoring._inspector import read_overviews
from txthoonk.types import Feed, Job, PythonQueue, Queue, SortedFeed
from txthoonk.worker import Worker

TYPES = {"feed": Feed, "sorted_feed": SortedFeed, "queue": Queue, "job": Job}
FIELDS = (
    *("max_length", "history", "timeout", "max_failures", "paused", "keep_results"),
    *("keep_results_for", "keep_stalled", "keep_stalled_for", "serializer"),
)


async def verbs(thoonk: Any, name: str, type_: str) -> list[tuple[str, BaseException]]:
    """Call the verbs of a type; return the names of those that failed, with their errors."""
    failed: list[tuple[str, BaseException]] = []

    async def call(what: str, *words: Any, on: Any = None) -> Any:
        try:
            return await getattr(on or feed, what)(*words)
        except Exception as error:  # noqa: BLE001  (that is what is tested)
            failed.append((what, error))
            return None

    feed: Any = TYPES[type_](thoonk, name)
    await call("get_config", name, on=thoonk)
    await call(type_, name, on=thoonk)
    if type_ == "feed":
        await call("publish", "x", "1")
        await call("get_all")
        await call("get_history")
        await call("retract", "1")
    elif type_ == "sorted_feed":
        id_ = await call("append", "x")
        await call("move_first", id_ or "1")
        await call("get_all")
        await call("retract", id_ or "1")
    elif type_ == "queue":
        await call("put", "x")
        await call("get", 0.01)
        await call("maintenance")
    else:
        await call("put", "x", 0, "1")
        claim = await call("get", 0.01)
        await call("renew", "1")
        for read in ("get_failure", "get_progress", "get_failure_count"):
            await call(read, "1")
        await call("fail", claim or "1", ValueError("x"))
        claim = await call("get", 0.01)
        await call("finish", claim or "1", "done", 5)
        await call("maintenance")
        await call("stats")
        await call("retract", "1")
    await call("length")
    return failed


class DataTestCase(HostileTestCase):
    def assert_clear(self, failed: list[tuple[str, BaseException]], about: object) -> None:
        """Check that errors are txthoonk's and clear, and not raw script errors."""
        unclear = []
        for what, error in failed:
            text = f"{getattr(error, 'code', '')} {error}"
            place = (about, what, error)
            known = "WRONGTYPE" in text or "not an integer" in text
            if not isinstance(error, ThoonkError) or ("user_script" in text and not known):
                unclear.append(place)
            self.assert_sober([text])
        self.assertEqual(unclear, [])


class ConfigurationTests(DataTestCase):
    async def test_values(self) -> None:
        """With any value in a configuration, each verb works or fails with a clear error."""
        values = [as_bytes(value) for value in samples(NUMBERS | ODD, 100)]
        for type_ in TYPES:
            for at, field in enumerate(FIELDS):
                for value in values[at :: len(FIELDS)][:8]:
                    await self.thoonk.create_feed("f", {"type": type_})
                    await self.raw.send("HSET", "feed.config:f", field, value)
                    failed = await verbs(self.thoonk, "f", type_)
                    failed = [
                        (what, error)
                        for what, error in failed
                        if not (isinstance(error, Empty) or field == "serializer")
                    ]
                    self.assert_clear(failed, (type_, field, value))
                    await self.thoonk.delete_feed("f")
        self.assert_sober(self.logged())

    async def test_types(self) -> None:
        """An unknown type fails the calls that open the feed, with a clear error."""
        for type_ in ("pyqueue", "", ESCAPES, "9" * 5000, b"\xff"):
            await self.raw.send("SADD", "feeds", "f")
            await self.raw.send("HSET", "feed.config:f", "type", type_)
            for wanted in TYPES:
                self.assert_clear(await verbs(self.thoonk, "f", wanted), type_)
            await self.raw.flushdb()
        self.assert_sober(self.logged())

    async def test_never_unpickled(self) -> None:
        """No configuration makes a program unpickle items unless it asked for that."""
        pickle = b"cos\nsystem\n(S'touch hacked-by-a-pickle'\ntR."
        queue = await self.thoonk.pyqueue("f", {"history": 10})
        self.assertIsInstance(queue, PythonQueue)
        events: list[Any] = []
        await self.thoonk.subscribe("f", events.append)
        await self.thoonk.subscribe_pattern("*", events.append)
        await self.thoonk.set_config("f", {"title": "x"})
        await self.raw.send("HSET", "feed.config:f", "serializer", "pickle")
        plain = Queue(self.thoonk, "f", follow=False)
        await plain.put(pickle)
        await until(lambda: [event.item for event in events].count(pickle) == 2)
        self.assertEqual(await plain.get(1), pickle.decode())
        await plain.put(pickle)
        await Maintenance(self.thoonk, ["f"])._maintain_all()
        for other in ("queue", "feed", "job", "sorted_feed"):
            error = await self.assertFailure(getattr(self.thoonk, other)("f"), ThoonkError)
            self.assertIn("pyqueue", str(error))

    async def test_items(self) -> None:
        """An item that is not JSON fails its own reads and no others."""
        feed = await self.thoonk.feed("f", {"serializer": "json", "history": 10})
        events: list[Any] = []
        await self.thoonk.subscribe("f", events.append)
        bad = [b"", b"{", b"\xff", b"[" * 100_000, b"9" * 5000, b"x" * 1_000_000]
        raw = Feed(self.thoonk, "f", "bytes", follow=False)
        for number, item in enumerate(bad):
            await raw.publish(item, str(number))
            await self.assertFailure(feed.get_item(str(number)), InvalidItem)
        await feed.publish({"good": 1}, "good")
        await until(lambda: len(events) == len(bad) + 1)
        self.assertEqual(
            [isinstance(event.item, InvalidItem) for event in events[:-1]], [True] * len(bad)
        )
        self.assertEqual(await feed.get_item("good"), {"good": 1})
        await self.assertFailure(feed.get_all(), InvalidItem)
        mirror = await self.thoonk.mirror("f")
        self.assertEqual((len(mirror), mirror["good"]), (len(bad) + 1, {"good": 1}))
        await raw.publish(b"{", "\x1b[2J" + "x" * 1_000_000)
        await until(lambda: len(events) == len(bad) + 2)
        self.assert_sober(self.logged())

    async def test_jobs(self) -> None:
        """A worker stalls a job that it cannot read, and works on the next one."""
        job = await self.thoonk.job("j", {"serializer": "json"})
        raw = Job(self.thoonk, "j", "bytes", follow=False)
        big = "\x1b[2J" + "x" * 1_000_000
        for id_ in ("1", big, "\udcff"):
            await raw.put(b"{", id_=id_)
        await job.put([1], id_="good")
        done: list[Any] = []
        worker = Worker("j", lambda claim: done.append(claim.item), thoonk=self.thoonk)
        worker.startService()
        await until(lambda: done == [[1]])
        await worker.stopService()
        self.assertEqual(set(await job.get_ids("stalled")), {"1", big, "\udcff"})
        self.assert_sober(self.logged())

    async def test_failing_jobs(self) -> None:
        """A handler's error for a job is logged, cut to a reasonable length."""
        job = await self.thoonk.job("j")
        big = "\x1b[2J" + "x" * 1_000_000

        def handler(claim: Any) -> None:
            raise ValueError(f"no such thing: {claim.item}")

        worker = Worker("j", handler, thoonk=self.thoonk, back_off=lambda failures: 1000)
        worker.startService()
        await job.put(big, id_=big)
        await until(lambda: not worker.running_jobs and bool(worker._consumers))
        await self.until_answer(lambda: job.get_failure(big))
        await worker.stopService()
        self.assert_sober(self.log.take(LogLevel.info))


class RecordTests(DataTestCase):
    RECORDS = (
        *("claims", "failures", "progress", "workers", "cancelled", "later", "revision"),
        *("publishes", "finishes", "results", "delayed", "claimed", "published", "stalled"),
        *("failed", "delivering", "transit", "history", "idincr", "maintained", "items", "ids"),
    )

    async def garbage(self, name: str, part: str, value: bytes) -> None:
        """Store a value as a record, in a key of the right type."""
        key = f"feed.{part}:{name}"
        type_ = await self.raw.send("TYPE", key)
        if part in ("delayed", "claimed", "published", "failed", "delivering", "results"):
            for score in ("nan-is-refused", "-inf", "inf", "1e300"):
                if score[0] != "n":
                    await self.raw.send("ZADD", key, score, value[:100] + score.encode())
        elif part in ("publishes", "finishes", "idincr", "maintained"):
            await self.raw.send("SET", key, value)
        elif part == "stalled":
            await self.raw.send("SADD", key, value)
        elif part == "transit" or (part == "ids" and type_ in (b"list", "list")):
            await self.raw.send("LPUSH", key, value)
        elif part == "history":
            await self.raw.send("XADD", key, "*", value or b"x", value)
        elif part != "ids":
            fields = [b"1", value, b"o:1", value]
            if part == "revision":
                for field in (b"epoch", b"revision", b"base", b"eras", b"publishes", b"length"):
                    fields += [b"\0" + field, value]
            await self.raw.send("HSET", key, *fields)

    async def test_records(self) -> None:
        """With any value in a feed's records, verbs, top, maintenance and metrics continue."""
        values = [as_bytes(value) for value in samples(NUMBERS | ODD, 60)]
        values += [b"5 {}", b"5 []", b'5 {"name": [], "pid": "x", "concurrency": 1e400}', b"o:1 x"]
        metrics = Metrics(self.thoonk)
        for at, part in enumerate(self.RECORDS):
            for value in values[at :: len(self.RECORDS)][:3]:
                for type_ in TYPES:
                    timeout = {"timeout": 5} if type_ == "job" else {}
                    await self.thoonk.create_feed("f", {"type": type_, "history": 5, **timeout})
                    await verbs(self.thoonk, "f", type_)
                    await self.garbage("f", part, value)
                    failed = await verbs(self.thoonk, "f", type_)
                    failed = [one for one in failed if not isinstance(one[1], Empty)]
                    self.assert_clear(failed, (type_, part, value))
                    await self.looked_at(metrics)
                    await self.raw.flushdb()
        self.assert_sober(self.logged())

    async def looked_at(self, metrics: Metrics) -> None:
        """Read all feeds as top, maintenance and metrics do."""
        names = await self.thoonk.get_feed_names()
        found, failed = await read_overviews(self.thoonk.redis, sorted(names))
        for line in as_lines(render(found.values(), {}, (80, 1000), about="", problem=""), 80):
            self.assertTrue(line.isprintable(), ascii(line))
        await metrics._read()
        generate_latest(metrics.registry)
        self.assert_clear([("overview", error) for error in failed.values()], names)

    async def test_names(self) -> None:
        """Invalid names in the registry are skipped, and other feeds continue to work."""
        names = [as_bytes(name) for name in samples(ODD, 40)] + [b"a\0b", b"x" * 100_000]
        await self.raw.send("SADD", "feeds", *names)
        job = await self.thoonk.job("z-good", {"timeout": 1})
        events: list[Any] = []
        await self.thoonk.subscribe_pattern("*", events.append, snapshot=True)
        await self.looked_at(Metrics(self.thoonk))
        service = Maintenance(self.thoonk)
        await service._maintain_all()
        self.assertIn("z-good", service._attended)
        await job.put("x")
        await until(
            lambda: any(event.feed == "z-good" and event.kind == "put" for event in events)
        )
        service._leave("z-good")
        self.assert_sober(self.logged())

    async def test_foreign_keys(self) -> None:
        """A key of the wrong type fails verbs, top and metrics with clear errors only."""
        for part in ("config", "items", "ids", "publishes", "claimed", "claims", "workers"):
            for type_ in TYPES:
                await self.raw.send("SADD", "feeds", "f")
                await self.raw.send("SETBIT", f"feed.{part}:f", 8, 1)
                failed = await verbs(self.thoonk, "f", type_)
                failed = [one for one in failed if not isinstance(one[1], Empty)]
                self.assert_clear(failed, (type_, part))
                await self.looked_at(Metrics(self.thoonk))
                await self.raw.flushdb()
        self.assert_sober(self.logged())

    async def test_history(self) -> None:
        """After another program's entry in the history, a verb that fails has changed nothing."""
        feed = await self.thoonk.feed("f", {"history": 10})
        await feed.publish("x", "1")
        await self.raw.send("XADD", "feed.history:f", "*", "kind", "publish", "id", "forged")
        try:
            await feed.publish("y", "2")
        except ThoonkError:
            self.assertIsNone(await feed.get_item("2"))
        else:
            self.assertEqual(await feed.get_item("2"), "y")
        await feed.publish("z", "3")
        self.assertEqual((await feed.get_history())[-1].item, "z")

    async def test_configuration_of_thoonk_js(self) -> None:
        """A configuration that is not a hash fails the calls on its feed with a clear error."""
        await self.raw.send("SADD", "feeds", "f")
        await self.raw.send("SET", "feed.config:f", '{"type":"feed"}')
        feed = Feed(self.thoonk, "f")
        for call in (
            lambda: self.thoonk.subscribe("f"),
            lambda: self.thoonk.mirror("f"),
            lambda: self.thoonk.feed("f"),
            feed.get_history,
            feed.revision,
            lambda: feed.publish("x"),
        ):
            try:
                await call()
            except ThoonkError as error:
                self.assertTrue(str(error))
        self.assert_sober(self.logged())


class TerminalTests(DataTestCase):
    def ends(self, *words: str) -> Deferred[str]:
        """Run ``thoonk`` on a terminal; return what it showed."""
        child = Child("--url", self.thoonk.url, *words, terminal=True)
        return child.ended.addCallback(lambda _: child.out)

    async def test_terminal(self) -> None:
        """Stored data cannot send control characters to the terminal that shows it."""
        name = f"f{ESCAPES}"
        job = await self.thoonk.job(name)
        await job.put(ESCAPES, id_=ESCAPES)
        await self.raw.send("HSET", f"feed.failures:{name}", ESCAPES, f"1 1 {ESCAPES}")
        await self.raw.send("HSET", f"feed.workers:{name}", f"{ESCAPES}:1", ESCAPES)
        await self.raw.send("SADD", "feeds", "typed", "bad")
        await self.raw.send("HSET", "feed.config:typed", "type", ESCAPES, "title", ESCAPES)
        await self.raw.send("SET", "feed.items:bad", "x")
        commands = (
            ("feeds",),
            ("top", "--once"),
            ("failures", name),
            ("items", "typed"),
            ("config", "typed"),
            ("publish", "typed", "x"),
        )
        shown = await gatherResults([self.ends(*words) for words in commands])
        for words, out in zip(commands, shown, strict=True):
            self.assertTrue(out, words)
            stored = out.replace(click.style("thoonk:", fg="red"), "")  # of our own errors
            for bad in ("\x1b", "\x07", "\x9b"):
                self.assertNotIn(bad, stored, words)
