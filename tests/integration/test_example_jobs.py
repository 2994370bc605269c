"""The examples of jobs and queues, as programs."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol

from tests.support.children import ROOT
from tests.support.examples import URL, Child, ProgramTestCase, commands
from tests.support.waiting import until_answer, until_file
from txthoonk import ThoonkPubFactory
from txthoonk.testing import RedisServer


def summed(*paths: Path) -> set[str]:
    """Return what sha256sum prints."""
    return {f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path}" for path in paths}


class ExampleTestCase(ProgramTestCase):
    async def until_length(self, job: Any, count: int) -> None:
        """Wait until a feed has at least that many jobs in its line."""
        await until_answer(self.server.endpoint(), job.length, lambda length: length >= count)

    async def serve(self) -> str:
        """Start or restart a server for several programs; return its URL."""
        if not hasattr(self, "server"):
            self.server = RedisServer(self.folder() / "data")
            self.addCleanup(self.server.stop)
        await self.server.start()
        self.pub: Any = await self.server.endpoint().connect(ThoonkPubFactory())
        self.addCleanup(self.pub.close)  # type: ignore[attr-defined]
        # A change must survive a kill right after its reply, not only a second later.
        await self.pub.redis.send("CONFIG", "SET", "appendfsync", "always")  # type: ignore[attr-defined]
        return self.server.url

    async def restart(self, *children: Child) -> None:
        """Kill the server, and start it again when all programs have noticed."""
        await self.server.kill()
        for child in children:
            await child.seen("Redis is away")
        await self.serve()

    def start(self, program: str, *words: str) -> Child:
        return self.run_example(f"python {ROOT}/examples/{program}", *words)


class FileHashesTests(ExampleTestCase):
    def files(self, count: int) -> list[Path]:
        """Make files, one of them large enough to take a while."""
        folder = self.folder()
        paths = [folder / f"file {number}" for number in range(count)]
        for number, path in enumerate(paths):
            path.write_bytes(b"%d" % number)
        paths[-1].write_bytes(b"x" * 50_000_000)
        return paths

    async def test_all_in_one(self) -> None:
        """The docstring's command prints the sum of each file, and ends."""
        command, paths = commands("file_hashes.py")[0], self.files(30)
        self.assertTrue(command.endswith(" examples"))
        child = self.run_example(command.removesuffix(" examples"), str(paths[0].parent))
        self.assertEqual(await child.ended, (0, None))
        self.assertEqual(set(child.out.splitlines()), summed(*paths))
        self.assertNotIn("Traceback", child.err)

    async def test_all_in_one_interrupted(self) -> None:
        """Ctrl-C ends the workers and the private Redis."""
        command, paths = commands("file_hashes.py")[0], self.files(30)
        child = self.run_example(command.removesuffix(" examples"), str(paths[0].parent))
        url = (await child.seen(URL))[1]
        self.assertEqual(await child.interrupt(), (0, None))
        self.assertNotIn("Traceback", child.err)
        self.assert_stopped(url)

    async def test_worker_killed(self) -> None:
        """Another worker does the jobs of a worker that was killed."""
        url, paths = await self.serve(), self.files(20)
        job = await self.pub.job("file-hashes", {"serializer": "json"})
        put = self.start("file_hashes.py", "--url", url, "put", str(paths[0].parent))
        await self.until_length(job, 1)
        claims = [await job.get() for _ in range(2)]  # the test stands for the killed worker
        for claim in claims:
            await self.pub.redis.send("ZADD", job.feed_claimed, 1, claim.id)
        self.start("file_hashes.py", "--url", url, "work")
        self.assertEqual(await put.ended, (0, None))
        self.assertEqual(set(put.out.splitlines()), summed(*paths))
        self.assertEqual((await job.stats())["claimed"], 0)

    async def test_redis_restarted_under_a_worker(self) -> None:
        """A worker that waits for jobs keeps waiting while Redis is away."""
        url, paths = await self.serve(), self.files(5)
        worker = self.start("file_hashes.py", "--url", url, "work")
        await worker.seen("worker")
        await self.restart(worker)
        put = self.start("file_hashes.py", "--url", url, "put", str(paths[0].parent))
        self.assertEqual(await put.ended, (0, None))
        self.assertEqual(set(put.out.splitlines()), summed(*paths))
        self.assertNotIn("Traceback", worker.err)

    async def test_redis_restarted_under_who_waits(self) -> None:
        """The program that waits for sums survives a Redis restart and gets later results."""
        url, paths = await self.serve(), self.files(5)
        job = await self.pub.job("file-hashes", {"serializer": "json"})
        put = self.start("file_hashes.py", "--url", url, "put", str(paths[0].parent))
        await self.until_length(job, len(paths))
        await self.restart(put)
        job = await self.pub.job("file-hashes")
        claim = await job.get()
        await job.stall(claim.id)  # perhaps before the waiting program has reconnected
        self.start("file_hashes.py", "--url", url, "work")
        self.assertEqual(await put.ended, (0, None))
        self.assertIn(f"{paths[0]}: given up", put.err)
        self.assertEqual(set(put.out.splitlines()), summed(*paths[1:]))
        self.assertNotIn("Traceback", put.err)

    async def test_worker_interrupted(self) -> None:
        """An interrupted worker releases the jobs that it has not finished."""
        url, paths = await self.serve(), self.files(1)
        job = await self.pub.job("file-hashes", {"serializer": "json"})
        worker = self.start("file_hashes.py", "--url", url, "work")
        await job.put({"path": str(paths[0])}, id_="big")
        await until_answer(self.server.endpoint(), lambda: job.get_ids("claimed"))
        self.assertEqual(await worker.interrupt(), (0, None))
        stats = await job.stats()
        self.assertEqual((stats["claimed"], stats["available"] + stats["finishes"]), (0, 1))
        self.assertNotIn("Traceback", worker.err)

    async def test_unreadable(self) -> None:
        """An unreadable file or a stalled job is reported instead of a sum."""
        url, paths = await self.serve(), self.files(3)
        job = await self.pub.job("file-hashes", {"serializer": "json"})
        put = self.start("file_hashes.py", "--url", url, "put", str(paths[0].parent))
        await self.until_length(job, 3)
        claim = await job.get()
        paths[1].unlink()
        self.start("file_hashes.py", "--url", url, "work")
        await put.seen("No such file")
        await job.stall(claim.id)
        self.assertEqual(await put.ended, (0, None))
        self.assertIn(f"{paths[0]}: given up", put.err)
        self.assertEqual(set(put.out.splitlines()), summed(paths[2]))


class Sender(Protocol):
    """Sends lines, and waits for the replies."""

    def __init__(self) -> None:
        self.answers = b""
        self._waiting: tuple[int, Deferred[None]] | None = None

    def send(self, *lines: str) -> Deferred[None]:
        transport: Any = self.transport
        transport.write("".join(f"{line}\n" for line in lines).encode())
        waiting: Deferred[None] = Deferred()
        self._waiting = (len(lines), waiting)
        self.answers = b""
        return waiting

    def dataReceived(self, data: bytes) -> None:
        self.answers += data
        if self._waiting and self.answers.count(b"\n") >= self._waiting[0]:
            self._waiting[1].callback(None)


class HandoffTests(ExampleTestCase):
    async def sender(self, url: str) -> Sender:
        self.receiver = self.start("handoff.py", "--url", url, "receive", "--port", "0")
        port = int((await self.receiver.seen(r"receiving on port (\d+)"))[1])
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
        sender: Any = await connectProtocol(endpoint, Sender())
        self.addCleanup(sender.transport.loseConnection)
        return sender

    async def written(self, path: Path, *lines: str) -> None:
        """Wait until a file has exactly these lines."""
        expected = "".join(f"{line}\n" for line in lines)
        await until_file(path, lambda: path.exists() and path.read_text() == expected)

    async def test_hand_over(self) -> None:
        """Lines arrive in order, even those sent while the consumer is down."""
        url, path = await self.serve(), self.folder() / "lines.txt"
        sender = await self.sender(url)
        consumer = self.start("handoff.py", "--url", url, "deliver", str(path))
        await consumer.seen("delivering")
        await sender.send("one", "two")
        self.assertEqual(sender.answers, b"ok\nok\n")
        await self.written(path, "one", "two")
        self.assertEqual(await consumer.interrupt(), (0, None))
        await sender.send("three", "four")
        consumer = self.start("handoff.py", "--url", url, "deliver", str(path))
        await self.written(path, "one", "two", "three", "four")
        self.assertEqual(await consumer.interrupt(), (0, None))
        self.assertEqual(consumer.err, "")
        self.assertEqual(await self.pub.redis.exists("feed.items:handoff"), 0)

    async def test_many_lines(self) -> None:
        """A sender that does not wait gets all replies, and all lines arrive in order."""
        url, path = await self.serve(), self.folder() / "lines.txt"
        sender = await self.sender(url)
        # Three times as many as may be unconfirmed; each is synced to the disk three times.
        lines = [f"line {number}" for number in range(300)]
        await sender.send(*lines)
        self.assertEqual(sender.answers, b"ok\n" * len(lines))
        self.start("handoff.py", "--url", url, "deliver", str(path))
        await self.written(path, *lines)

    async def test_connections_cut(self) -> None:
        """Both sides recover when Redis cuts their connections."""
        url, path = await self.serve(), self.folder() / "lines.txt"
        sender = await self.sender(url)
        consumer = self.start("handoff.py", "--url", url, "deliver", str(path))
        await consumer.seen("delivering")
        await self.pub.redis.send("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await self.receiver.seen("Redis is away")
        await sender.send("one")
        self.assertEqual(sender.answers, b"ok\n")
        await self.written(path, "one")
        await consumer.seen("Redis is away: [^\n]+\nRedis is back\n")

    async def test_redis_restarted(self) -> None:
        """Lines sent while Redis is away arrive in order when it is back."""
        url, path = await self.serve(), self.folder() / "lines.txt"
        sender = await self.sender(url)
        consumer = self.start("handoff.py", "--url", url, "deliver", str(path))
        await consumer.seen("delivering")
        await self.server.kill()
        await self.receiver.seen("Redis is away")
        await consumer.seen("Redis is away")
        lines = [f"line {number}" for number in range(200)]
        answered = sender.send(*lines)
        await self.serve()
        await answered
        self.assertEqual(sender.answers, b"ok\n" * len(lines))
        await self.written(path, *lines)
        self.assertEqual(await consumer.interrupt(), (0, None))
        self.assertNotIn("Traceback", consumer.err)

    async def test_docstring(self) -> None:
        """The docstring has exactly the commands that are tested here."""
        url = "--url redis://localhost:6379/0"
        self.assertEqual(
            commands("handoff.py"),
            [
                f"python examples/handoff.py {url} receive --port 8007",
                f"python examples/handoff.py {url} deliver lines.txt",
            ],
        )
