"""The ``thoonk`` command on failed, delayed and paused jobs."""

from __future__ import annotations

import json
import signal

from tests.support.cli import CommandTestCase
from txthoonk.errors import ItemDoesNotExist


class FailureCommandTests(CommandTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.job = await self.publisher.job("j", {"max_failures": 1})

    async def test_repair(self) -> None:
        """``failures`` shows a failed job and its traceback; ``edit`` and ``retry`` repair it."""
        await self.job.put("eight", id_="a")
        await self.job.get()
        try:
            int("eight")
        except ValueError as error:
            await self.job.fail("a", error)
        status, out, err = await self.thoonk("failures", "j")
        self.assertEqual((status, err), (0, ""))
        self.assertRegex(out, r"^a\t1\t\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ\n  ValueError: invalid")
        self.assertNotIn("Traceback", out)
        _, out, _ = await self.thoonk("failures", "j", "a")
        self.assertIn("    builtins.ValueError: invalid literal", out)
        status, shown, err = await self.thoonk("failures", "j", "a", "b")
        self.assertEqual((status, shown), (1, out))
        self.assertEqual(err, "thoonk: feed 'j' keeps no failure of job 'b'\n")
        _, out, _ = await self.thoonk("failures", "j", "--json")
        failure = json.loads(out)
        told = (failure["id"], failure["type"], failure["count"])
        self.assertEqual(told, ("a", "ValueError", 1))
        self.assertEqual(await self.thoonk("edit", "j", "a", "8"), (0, "", ""))
        self.assertEqual(await self.thoonk("retry", "j", "a"), (0, "", ""))
        self.assertEqual(await self.thoonk("get", "j"), (0, "a\t8\n", ""))

    async def test_reason(self) -> None:
        """``jobs``, ``result`` and ``watch`` show why a job failed."""
        child = self.child("watch", "j", "k")
        await child.seen("watching")
        retried = await self.publisher.job("k", {"max_failures": 3})
        for job in (self.job, retried):
            await job.put("eight", id_="a")
            await job.get()
            await job.fail("a", ValueError("not a number\nat all"))
        await child.seen("cancel    k  a  ValueError: not a number")
        self.assertIn("stall     j  a  ValueError: not a number", child.out)
        child.transport.signalProcess(signal.SIGINT)
        await child.ended
        _, out, _ = await self.thoonk("jobs", "j")
        self.assertIn("stalled\ta\tValueError: not a number\n", out)
        status, out, err = await self.thoonk("result", "j", "a")
        self.assertEqual((status, out), (1, ""))
        self.assertIn("'a' of feed 'j' is stalled: ValueError: not a number", err)

    async def test_edit_nothing(self) -> None:
        """``edit`` fails if the feed has no job with that id."""
        status, out, err = await self.thoonk("edit", "j", "a", "8")
        self.assertEqual((status, out), (1, ""))
        self.assertIn("has no item 'a'", err)
        await self.assertFailure(self.job.edit("a", "8"), ItemDoesNotExist)

    async def test_delay(self) -> None:
        """``put --delay`` puts a delayed job; it is refused for input lines and for queues."""
        self.assertEqual(
            await self.thoonk("put", "j", "x", "--id", "a", "--delay", "60"), (0, "a\n", "")
        )
        _, out, _ = await self.thoonk("jobs", "j", "--json")
        self.assertEqual(json.loads(out)["ids"]["delayed"], ["a"])
        await self.publisher.queue("q")
        for words in (("put", "q", "x", "--delay", "1"), ("put", "j", "--delay", "1")):
            status, out, err = await self.thoonk(*words)
            self.assertEqual((status, out), (1, ""))
            self.assertIn("--delay", err)

    async def test_pause(self) -> None:
        """``pause`` and ``resume`` work on queues and job feeds, and refuse other types."""
        await self.publisher.queue("q")
        await self.publisher.feed("news")
        await self.job.put("x", id_="a")
        self.assertEqual(await self.thoonk("pause", "j", "q"), (0, "", ""))
        status, _, err = await self.thoonk("get", "j", "--timeout", "0.1")
        self.assertEqual((status, "had nothing to get" in err), (1, True))
        self.assertEqual(await self.thoonk("resume", "j", "q"), (0, "", ""))
        self.assertEqual(await self.thoonk("get", "j"), (0, "a\tx\n", ""))
        status, _, err = await self.thoonk("pause", "news")
        self.assertEqual((status, "not queue or job" in err), (1, True))

    async def test_drain(self) -> None:
        """``drain`` removes the available jobs, and the delayed ones with ``--delayed``."""
        await self.job.put_many(list("abc"))
        await self.job.put("d", delay=60)
        self.assertEqual(await self.thoonk("drain", "j"), (0, "3\n", ""))
        self.assertEqual(await self.thoonk("drain", "j", "--delayed"), (0, "1\n", ""))
        self.assertEqual(await self.job.get_ids(), [])

    async def test_watch_progress(self) -> None:
        """``watch`` prints the progress of a job."""
        child = self.child("watch", "j", "--json")
        await child.seen("watching")
        await self.job.put("x", id_="a")
        await (await self.job.get()).progress(1, 3, "halfway")
        await child.seen('"progress"')
        child.transport.signalProcess(signal.SIGINT)
        self.assertEqual(await child.ended, 0)
        event = json.loads(child.out.splitlines()[-1])
        self.assertEqual(json.loads(event["item"]), {"done": 1, "total": 3, "note": "halfway"})
