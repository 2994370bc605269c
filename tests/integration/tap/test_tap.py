"""The plugins as processes of ``twist``: their work, their logs, and how they stop."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from typing import Any
from unittest import mock
from urllib.request import urlopen

from twisted.internet.threads import deferToThread

from tests.support import RedisTestCase
from tests.support.children import ROOT
from tests.support.examples import Child, ProgramTestCase
from txthoonk import Job

KILLED = (None, signal.SIGTERM)  # how twist exits after it has stopped

TASKS = """
from twisted.internet.defer import Deferred
from twisted.logger import Logger

log = Logger()


def shout(claim):
    print("doing", claim.item)
    return claim.item.upper()


async def through_the_gate(claim):
    gate = await claim.job.pub.queue("gate")
    log.info("{id} waits at the gate", id=claim.id)
    return await gate.get()


def hang(claim):
    log.info("{id} hangs", id=claim.id)
    return Deferred(lambda _: log.info("{id} is cancelled", id=claim.id))


def name(claim):
    import threading

    return f"{claim.job.name} {threading.current_thread() is not threading.main_thread()}"
"""


def read(url: str) -> str:
    with urlopen(url) as page:
        return str(page.read(), "utf-8")


class PluginTestCase(RedisTestCase, ProgramTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.publisher = await self.pub()
        self.here = self.folder()
        (self.here / "tasks.py").write_text(TASKS)

    async def job(self, name: str = "work", **config: Any) -> Job:
        job: Job = await self.publisher.job(
            name, {"timeout": 60, "keep_results_for": 60, **config}
        )
        return job

    def twist(self, words: str, **environment: str) -> Child:
        """Start ``twist`` in the folder of the tasks, on the test's database."""
        here = {"THOONK_REDIS": self.target.text, "THOONK_LOG_JSON": "1", **environment}
        with mock.patch.dict(os.environ, here):
            return self.run_example(f"twist {words}", cwd=self.here)

    def worker(self, handler: str, words: str = "", **environment: str) -> Child:
        return self.twist(f"thoonk-worker --handler tasks.{handler} {words}", **environment)

    async def end(self, child: Child) -> tuple[int | None, int | None]:
        """Send SIGTERM; return the exit status and the signal."""
        child.signal("TERM")
        return await child.ended


class WorkerTests(PluginTestCase):
    async def test_works(self) -> None:
        """A worker finishes the jobs of all its feeds, and creates those that do not exist."""
        job = await self.job()
        await job.put_many(["a", "b", "c"], ids=["1", "2", "3"])
        words = "--concurrency 2 --config timeout=5 --config serializer=json"
        child = self.worker("shout", words, THOONK_JOB="work=2,other")
        found = [await job.get_result(id_) for id_ in ("1", "2", "3")]
        self.assertEqual(found, [("a", "A"), ("b", "B"), ("c", "C")])
        await child.seen('"connected to ')
        self.assertEqual((child.out + child.err).count('"connected to '), 1)
        other = await self.created("other")
        self.assertEqual(
            await other.get_config(),
            {"type": "job", "timeout": "5", "max_failures": "10", "serializer": "json"},
        )
        self.assertEqual(await self.end(child), KILLED)
        self.assertEqual((await job.stats())["finishes"], 3)

    async def created(self, name: str) -> Job:
        """Wait until a feed is created; return it."""
        await self.until_answer(lambda: self.publisher.feed_exists(name))
        return await self.publisher.job(name)

    async def test_waits(self) -> None:
        """Without --config it waits until another program creates the feed."""
        child = self.worker("shout", "--job work")
        await child.seen("feed 'work' does not exist")
        job = await self.job()
        self.assertEqual(await job.get_result(await job.put("a")), ("a", "A"))
        self.assertEqual(await self.end(child), KILLED)

    async def test_other_type(self) -> None:
        """A feed of another type ends the process with one line of log and exit status 1."""
        await self.publisher.queue("line")
        await self.job()
        child = self.worker("shout", "--job work --job line")
        self.assertEqual(await child.ended, (1, None))
        self.assertEqual(
            f"{child.out}{child.err}".count("feed 'line' is of type 'queue', not 'job'"), 1
        )

    async def test_command_line(self) -> None:
        """The command line overrides variables, and the handler may run in threads."""
        job = await self.job()
        await job.put("item", id_="1")
        child = self.worker(
            "name",
            "--in-thread --job work --name it --no-maintenance",
            THOONK_JOB="other",
            THOONK_NAME="other",
        )
        self.assertEqual(await job.get_result("1"), ("item", "work True"))
        await child.seen("worker 'it' works on 'work'")
        await self.until_reply("EXISTS", "feed.workers:work")
        ((_, about),) = (await self.value("feed.workers:work")).items()
        shown = json.loads(about[about.index(b"{") :])
        self.assertEqual((shown["name"], shown["pid"]), ("it", child.transport.pid))
        self.assertEqual(await self.end(child), KILLED)
        self.assertFalse(await self.publisher.feed_exists("other"))

    async def test_json_log(self) -> None:
        """Each line of output is a JSON object, including what the handler prints."""
        job = await self.job()
        await job.put("one\ntwo", id_="1")
        child = self.worker("shout", "--job work")
        await job.get_result("1")
        await self.end(child)
        lines = [json.loads(line) for line in child.out.splitlines()]
        self.assertEqual(child.err, "")
        common = {"time", "level", "namespace", "message"}
        self.assertEqual([line for line in lines if not common <= set(line)], [])
        printed = [line["message"] for line in lines if line["namespace"] == "stdout"]
        self.assertEqual(printed, ["doing one", "two"])

    async def test_metrics(self) -> None:
        """``--metrics-port`` serves the worker's metrics, on this machine only."""
        job = await self.job()
        child = self.worker("shout", "--job work --metrics-port 0")
        port = (await child.seen(r"metrics at .*127\.0\.0\.1.*?(?:port=|:)(\d+)"))[1]
        await job.put("a", id_="1")
        await job.get_result("1")
        page = await deferToThread(read, f"http://127.0.0.1:{port}/metrics")
        self.assertRegex(page, r'(?m)^\w+{feed="work",outcome="finished"} 1\.0$')
        self.assertEqual(await self.end(child), KILLED)

    async def test_usage(self) -> None:
        """A bad option ends the process at once, with an error that names the problem."""
        child = self.worker("shuot", "--job work")
        self.assertEqual(await child.ended, (64, None))
        self.assertRegex(
            child.err,
            r"^thoonk-worker: --handler: module 'tasks' has no attribute 'shuot' "
            r"\(in .*tasks.py\) \(--help lists the options\)\n$",
        )

    async def test_port_in_use(self) -> None:
        """A metrics port that is in use ends the process with one line."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
            child = self.worker("shout", f"--job work --metrics-port {port}")
            self.assertEqual(await child.ended, (1, None))
        self.assertIn("thoonk-worker: --metrics-port: Couldn't listen on", child.err)
        self.assertEqual(child.err.count("\n"), 1)


class EndTests(PluginTestCase):
    async def test_grace(self) -> None:
        """After SIGTERM a worker claims no jobs; handlers that end in time finish theirs."""
        job, gate = await self.job(), await self.publisher.queue("gate")
        await job.put("item", id_="1")
        child = self.worker("through_the_gate", "--job work --concurrency 2 --grace 50")
        await child.seen('"1 waits at the gate"')
        child.signal("TERM")
        await child.seen("Received SIGTERM")
        await job.put("item", id_="2")
        await gate.put("result")
        self.assertEqual(await child.ended, KILLED)
        self.assertEqual(await job.get_result("1"), ("item", "result"))
        self.assertEqual(await job.get_ids("available"), ["2"])

    async def test_release(self) -> None:
        """Jobs that are unfinished after the grace time are available at once, first in line."""
        job = await self.job(max_failures=1)
        await job.put_many(["a", "b", "c"], ids=["1", "2", "3"])
        child = self.worker("hang", "--job work --concurrency 2 --grace 0")
        await child.seen('"2 hangs"')
        spy = await self.spy()
        self.assertEqual(await self.end(child), KILLED)
        self.assertRegex(child.out, '"1 is cancelled"')
        self.assertEqual(
            await self.contract_state(),
            {
                b"feed.ids:work": [b"3", b"2", b"1"],
                b"feed.items:work": {b"1": b"a", b"2": b"b", b"3": b"c"},
                b"feed.claims:work": None,
                b"feed.failures:work": None,
                b"feed.claimed:work": None,
                b"feed.cancelled:work": None,
                b"feed.stalled:work": None,
                b"feed.workers:work": None,
            },
        )
        self.assertEqual(
            [channel for channel, _ in await spy.messages() if b"finish" in channel], []
        )
        await self.works_on(job)

    async def contract_state(self) -> dict[bytes, Any]:
        names = ("ids", "items", "claims", "failures", "claimed", "cancelled", "stalled")
        keys = [f"feed.{name}:work" for name in (*names, "workers")]
        return {key.encode(): await self.value(key) for key in keys}

    async def works_on(self, job: Job) -> None:
        """Check that another worker can finish the jobs."""
        child = self.worker("shout", "--job work")
        found = [await job.get_result(id_) for id_ in ("1", "2", "3")]
        self.assertEqual(found, [("a", "A"), ("b", "B"), ("c", "C")])
        self.assertEqual(await self.end(child), KILLED)
        self.assertEqual(re.findall(r"doing (\w)", child.out), ["a", "b", "c"])

    async def test_interrupt(self) -> None:
        """Ctrl-C stops a worker as SIGTERM does."""
        job = await self.job()
        await job.put("a", id_="1")
        child = self.worker("hang", "--job work --grace 0")
        await child.seen('"1 hangs"')
        self.assertEqual(await child.interrupt(), (None, signal.SIGINT))
        self.assertEqual(await job.get_ids("available"), ["1"])
        self.assertEqual(await job.get_failure_count("1"), 0)

    async def test_without_redis(self) -> None:
        """A worker that cannot reach Redis logs each attempt once, and stops on SIGTERM."""
        child = self.worker("shout", "--job work", THOONK_REDIS="redis://127.0.0.1:1/0")
        await child.seen("attempt 2 to connect to redis://127.0.0.1:1/0 failed")
        self.assertEqual((child.out + child.err).count("attempt 1 to connect"), 1)
        self.assertEqual(await self.end(child), KILLED)


class MaintenanceTests(PluginTestCase):
    async def test_maintains(self) -> None:
        """Jobs of a dead worker become available again, in all feeds or in the named ones."""
        for words, others in (("", [b"1"]), ("--feed work", None)):
            await self.raw.flushdb()
            job, other = await self.job(), await self.job("other")
            for one in (other, job):
                await one.put("a", id_="1")
                await one.get()
                await self.raw.send("ZINCRBY", f"feed.claimed:{one.name}", -100_000, "1")
                await self.looked(one.name)
            child = self.twist(f"thoonk-maintenance --interval 0.2 {words}")
            await self.until_gone("feed.claimed:work")
            self.assertEqual(await self.value("feed.ids:work"), [b"1"])
            await child.seen("maintains ('work'|all feeds) at ")
            self.assertEqual(await self.end(child), KILLED)
            self.assertEqual(await self.value("feed.ids:other"), others)


class DocumentedTests(PluginTestCase):
    async def test_handler(self) -> None:
        """The documented handler does what its documentation shows."""
        text = (ROOT / "docs" / "deployment.rst").read_text()
        found = re.search(r"code-block:: python\n\n((?:    .*\n|\n)+)", text)
        assert found is not None
        (self.here / "tasks.py").write_text(re.sub("(?m)^    ", "", found[1]))
        greetings, counts = await self.job("greetings"), await self.job("counts")
        await greetings.put("Ada", id_="1")
        await greetings.put("", id_="2")
        await greetings.put("Godot", id_="3")
        await counts.put("one two", id_="1")
        child = self.worker("work", "--job greetings --job counts --concurrency 10")
        self.assertEqual(await greetings.get_result("1"), ("Ada", "Hello Ada!"))
        self.assertEqual(await counts.get_result("1"), ("one two", "2"))
        await child.seen("job '2' of feed 'greetings' failed: Stall: no name given")
        await child.seen("job '3' of feed 'greetings' failed: Retry: not here yet")
        await self.end(child)
        self.assertEqual(await greetings.get_ids("stalled"), ["2"])
        self.assertEqual(await greetings.get_ids("delayed"), ["3"])
