"""The waits of ``tests/support/waiting.py``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import CancelledError, Deferred

from tests.support import RedisTestCase
from tests.support.waiting import until, until_ended, until_file

reactor: Any = installed_reactor


class UntilTests(RedisTestCase):
    """``until``: a condition of this process."""

    async def test_holds(self) -> None:
        """until() returns at once if the condition already holds."""
        await until(lambda: True)
        self.assertNotIn("runUntilCurrent", vars(reactor))

    async def test_later(self) -> None:
        """until() waits for a change by a reactor turn, and leaves nothing in the reactor."""
        seen: list[int] = []
        reactor.callLater(0.01, seen.append, 1)
        await until(lambda: seen)
        self.assertEqual(seen, [1])
        await self.raw.ping()
        self.assertNotIn("runUntilCurrent", vars(reactor))

    async def test_one_makes_another(self) -> None:
        """A condition that the end of another wait makes true is seen in the same turn."""
        seen: list[str] = []
        first = Deferred.fromCoroutine(until(lambda: "first" in seen))
        second = Deferred.fromCoroutine(until(lambda: "second" in seen))
        second.addCallback(lambda _: seen.append("first"))
        reactor.callLater(0, seen.append, "second")
        await first
        self.assertEqual(seen, ["second", "first"])

    async def test_error(self) -> None:
        """An error of the condition fails the wait."""
        seen: list[int] = []
        reactor.callLater(0, seen.append, 0)
        waiting = Deferred.fromCoroutine(until(lambda: seen and 1 / seen[0]))
        await self.assertFailure(waiting, ZeroDivisionError)

    async def test_cancel(self) -> None:
        """A cancelled wait does not check its condition any more."""
        checked: list[int] = []
        waiting = Deferred.fromCoroutine(until(lambda: checked.append(1)))
        await self.raw.ping()
        waiting.cancel()
        await self.assertFailure(waiting, CancelledError)
        count = len(checked)
        await self.raw.ping()
        self.assertEqual(len(checked), count)


class AnswerTests(RedisTestCase):
    """``until_answer``: a reply of a redis-server."""

    async def test_key(self) -> None:
        """A change of a key wakes the wait, even a change by a script."""
        for words in (("SET", "x", "1"), ("EVAL", "redis.call('SET', KEYS[1], '2')", 1, "x")):
            reply = words[-1].encode() if words[0] == "SET" else b"2"
            waiting = Deferred.fromCoroutine(
                self.until_reply("GET", "x", holds=lambda found, reply=reply: found == reply)  # type: ignore[misc]
            )
            await self.raw.ping()
            self.assertNoResult(waiting)
            await self.raw.send(*words)
            self.assertEqual(await waiting, reply)

    async def test_questions(self) -> None:
        """until_answer asks again after each change, but not after a read."""
        asked: list[int] = []

        async def question() -> Any:
            asked.append(1)
            return await self.raw.send("GET", "x")

        waiting = Deferred.fromCoroutine(self.until_answer(question))
        await until(lambda: len(asked) == 2)  # once before it listens for changes, and once after
        for _ in range(20):
            await self.raw.send("ZCARD", "y")
        self.assertEqual(len(asked), 2)
        await self.raw.send("SET", "x", "1")
        await waiting
        self.assertEqual(len(asked), 3)

    async def test_blocked(self) -> None:
        """``blocked`` waits until a client blocks, and until it disconnects."""
        redis = await self.redis()
        await self.blocked(0)
        popped = redis.send("BLPOP", "x", 0)
        await self.blocked(1)
        transport: Any = redis.transport
        transport.abortConnection()
        await self.blocked(0)
        await self.assertFailure(popped, Exception)

    async def test_subscribers(self) -> None:
        """``numsub`` waits until a client subscribes."""
        subscriber = await self.subscriber()
        waiting = Deferred.fromCoroutine(self.numsub("x", 1))
        subscriber.subscribe("x")
        await waiting


class OutsideTests(RedisTestCase):
    """``until_file`` and ``until_ended``: files, and processes that are not children."""

    async def test_file(self) -> None:
        """until_file waits for a file to be created, written and removed."""
        path = Path(self.mktemp())
        path.parent.mkdir(exist_ok=True)
        reactor.callLater(0.01, path.write_text, "one")
        await until_file(path, path.exists)
        reactor.callLater(0.01, path.write_text, "two")
        await until_file(path, lambda: path.read_text() == "two")
        reactor.callLater(0.01, path.unlink)
        await until_file(path, lambda: not path.exists())

    async def test_process(self) -> None:
        """until_ended waits for the end of a process, and returns at once if it has ended."""
        program = "import signal; print('up', flush=True); signal.pause()"
        command = [sys.executable, "-c", program]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            waiting = Deferred.fromCoroutine(until_ended(process.pid))
            await self.raw.ping()
            self.assertNoResult(waiting)
            os.kill(process.pid, signal.SIGKILL)
            await waiting
        await until_ended(process.pid)
