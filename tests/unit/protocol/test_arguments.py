"""No argument of a public method ends the process, or fails with an error that names nothing."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.support.arguments import HUGE, ODD, Laboratory
from tests.support.children import Child
from tests.support.wire import commands, outcome, redis
from txthoonk.errors import InvalidCommand, InvalidData


class AnyArgumentTests(TestCase):
    async def test_any(self) -> None:
        """Each public method takes each odd value for each parameter, or refuses it clearly."""
        child = Child()
        child.spawn_python("-m", "tests.support.arguments")
        self.addCleanup(child.kill)
        await child.ended
        self.assertEqual((child.status, child.out, child.err), (0, "done\n", ""))


class HugeNumberTests(SynchronousTestCase):
    """Numbers of more digits than Python converts to text."""

    def refused(self, called: Any, *named: str) -> None:
        (error,) = outcome(called)
        self.assertIsInstance(error, ValueError)
        for text in named:
            self.assertIn(text, str(error))

    def test_commands(self) -> None:
        """A command with one is not sent, on a connection with any charset."""
        for charset in ("utf8", "latin-1", None):
            for number in (HUGE, -HUGE, ODD["BrokenInt"], ODD["BrokenFloat"]):
                client, transport = redis(charset=charset)
                for called in (
                    client.send("SET", "k", number),
                    client.send(number),  # type: ignore[arg-type]
                    client.set("k", number),
                    client.lrange("k", 0, number),
                    client.evalsha("sha", [number], [number]),
                ):
                    self.assertIsInstance(outcome(called)[0], InvalidData)
                self.assertEqual(transport.writes, [])
                client.send("SET", "k", 1)
                self.assertEqual(commands(transport.value()), [[b"SET", b"k", b"1"]])

    def test_secrets(self) -> None:
        """The error for a command with secrets does not show them."""
        client, _ = redis()
        for word in (HUGE, ODD["BrokenInt"], None):
            (error,) = outcome(client.send("auth", "user", word))
            self.assertEqual(str(error), "an argument of AUTH must be str, bytes or a number")

    def test_shapes(self) -> None:
        """An argument of the wrong type fails the Deferred of a command; a missing one raises."""
        client, transport = redis()
        for called in (client.mset(5), client.hget("k", 5), client.zunionstore("k", None)):
            self.assertIsInstance(outcome(called)[0], InvalidCommand)
        self.assertRaises(TypeError, client.mset)
        self.assertEqual(transport.writes, [])

    def test_feeds(self) -> None:
        """A feed names the argument, and sends nothing."""
        feed, ordered, queue, job = (Laboratory().objects[at] for at in (0, 2, 3, 5))
        bits = f"a number of {HUGE.bit_length()} bits"
        self.refused(feed.get_range(HUGE, 1), "start", bits)
        self.refused(feed.get_range(0, -HUGE), "stop", bits)
        self.refused(feed.publish("item", HUGE), "id", bits)
        self.refused(feed.publish("item", "1", expect=HUGE), "expect=", bits)
        self.refused(feed.retract("1", expect=HUGE), "expect=", bits)
        self.refused(ordered.edit("1", "item", expect=HUGE), "expect=", bits)
        self.refused(feed.get_history(count=HUGE), "count", bits)
        self.refused(feed.get_history(since=HUGE), "position", bits)
        self.refused(queue.get(HUGE), "timeout", bits)
        self.refused(job.put("item", delay=HUGE), "delay", bits)
        self.refused(job.put("item", at=HUGE), "time", bits)
        self.refused(job.wait("1", HUGE), "timeout", bits)
        self.refused(feed.set_config({"max_length": HUGE}), "max_length", bits)
        for called in (feed, ordered, queue, job):
            self.assertEqual(called.pub.redis.transport.writes, [])

    def test_claims(self) -> None:
        """The progress of a job must be a number that JSON can hold."""
        claim = Laboratory().claim
        self.refused(claim.progress(HUGE), "done")
        self.refused(claim.progress(1, HUGE), "total")
