"""The ``thoonk`` command with standard streams that are closed, full, or not in UTF-8."""

from __future__ import annotations

import os
import shlex
import sys

from twisted.internet.utils import getProcessOutputAndValue

from tests.support.cli import THOONK, CommandTestCase

GONE = "thoonk: cannot write to standard output: its reader is gone\n"
FULL = "thoonk: cannot write to standard output: No space left on device\n"
CLOSED = "thoonk: cannot write to standard output: Bad file descriptor\n"


class StreamTestCase(CommandTestCase):
    async def shell(self, script: str, **environment: str) -> tuple[int, str, str]:
        """Run a shell script that can call ``thoonk``; return its status, output and errors."""
        thoonk = shlex.join([*THOONK, "--url", self.url])
        script = f'set -o pipefail; thoonk() {{ {thoonk} "$@"; }}; {script}'
        here = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
        out, err, status = await getProcessOutputAndValue("bash", ["-c", script], here)
        return status, out.decode("utf-8", "surrogateescape"), err.decode()


class OutputTests(StreamTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.news = await self.publisher.feed("news")
        await self.news.publish("x" * 100_000, "1")
        await self.news.publish("y", "2")

    async def test_reader_is_gone(self) -> None:
        """A pipe whose reader ends early gives one error line, and the status of SIGPIPE."""
        status, out, err = await self.shell("thoonk items news | head -c 3")
        self.assertEqual((status, out, err), (141, "1\tx", GONE))

    async def test_full(self) -> None:
        """A full disk gives one error line and status 1, even for help."""
        for words in ("items news", "item news 2", "--help", "top --once --json"):
            status, _, err = await self.shell(f"thoonk {words} > /dev/full")
            self.assertEqual((status, err), (1, FULL), words)

    async def test_closed(self) -> None:
        """A closed output gives one error line, except for a command that prints nothing."""
        status, _, err = await self.shell("thoonk item news 2 >&-")
        self.assertEqual((status, err), (1, CLOSED))
        self.assertEqual(await self.shell("thoonk retract news 2 >&- 2>&- <&-"), (0, "", ""))
        self.assertEqual(await self.news.get_ids(), ["1"])

    async def test_errors_to_nowhere(self) -> None:
        """A command whose error output fails keeps its status, and prints no errors as output."""
        for end in ("2>&-", "2>/dev/full"):
            status, out, _ = await self.shell(f"thoonk item news 3 {end}")
            self.assertEqual((status, out), (1, ""))
            status, out, _ = await self.shell(f"echo a | thoonk publish news {end}")
            self.assertEqual((status, out), (0, ""))
        self.assertEqual(await self.news.length(), 4)

    async def test_locale(self) -> None:
        """Items are printed in UTF-8, whatever the locale."""
        await self.news.publish("caf\u00e9 \udcff", "2")
        for locale in (
            {"LC_ALL": "C"},
            {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
            {"PYTHONIOENCODING": "ascii"},
            {"PYTHONIOENCODING": "latin-1"},
        ):
            status, out, err = await self.shell("thoonk item news 2", **locale)
            self.assertEqual((status, out, err), (0, "caf\u00e9 \udcff\n", ""))
            status, out, err = await self.shell("thoonk publish news 'é' --id é", **locale)
            self.assertEqual((status, out, err), (0, "é\n", ""))
            self.assertEqual(await self.news.get_item("é"), "é")


class InputTests(StreamTestCase):
    async def test_closed(self) -> None:
        """A closed input gives one error line, after the line that counts the published items."""
        status, out, err = await self.shell("thoonk publish news <&-")
        self.assertEqual((status, out), (1, ""))
        published, why = err.splitlines()
        self.assertIn("published 0 items", published)
        self.assertEqual(why, "thoonk: cannot read standard input: Bad file descriptor")

    async def test_other_systems(self) -> None:
        """Windows line ends and a byte order mark are not part of the items."""
        status, _, err = await self.shell(r"printf '\xef\xbb\xbfa\r\nb\r\n' | thoonk publish news")
        self.assertEqual(status, 0)
        self.assertIn("published 2 items", err)
        news = await self.publisher.feed("news")
        self.assertEqual(list((await news.get_all()).values()), ["a", "b"])


class GetTests(StreamTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.queue = await self.publisher.queue("q")
        self.job = await self.publisher.job("j")
        for item in ("caf\u00e9 \udcff", "two"):
            await self.queue.put(item)
            await self.job.put(item)

    async def test_cannot_print(self) -> None:
        """``get`` takes nothing if it can detect that it cannot print."""
        before = await self.state()
        unread = "exec 3> >(true); wait $!;"  # a pipe without a reader
        for name in ("q", "j"):
            for script, wanted in (
                (f"thoonk get {name} >&-", (1, "", CLOSED)),
                (f"{unread} thoonk get {name} >&3", (141, "", GONE)),
            ):
                self.assertEqual(await self.shell(script), wanted)
        self.assertEqual(await self.state(), before)

    async def test_given_back(self) -> None:
        """An item that was taken and could not be printed is the next one taken."""
        for name in ("q", "j"):
            for option in ("", "--json"):
                status, out, err = await self.shell(f"thoonk get {name} {option} > /dev/full")
                self.assertEqual((status, out, err), (1, "", FULL))
        self.assertEqual([await self.queue.get(), await self.queue.get()], ["café \udcff", "two"])
        claims = [await self.job.get(), await self.job.get()]
        self.assertEqual(
            [(claim.item, claim.cancelled) for claim in claims], [("café \udcff", 0), ("two", 0)]
        )
