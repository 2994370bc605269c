"""The programs in README and docs run as written."""

from __future__ import annotations

import os
import re
import sys
import textwrap
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.utils import getProcessOutputAndValue

from tests.support import RedisTestCase, server_url
from txthoonk import Thoonk

ROOT = Path(__file__).parents[2]


def blocks(document: str) -> list[str]:
    """Give the Python blocks, each as a text of its own."""
    text = (ROOT / document).read_text()
    found = re.findall(r"\.\. code-block:: python\n\n((?:    .*\n|\n)+)", text)
    return [textwrap.dedent(block).strip() for block in found]


class ReadmeTests(RedisTestCase):
    async def test_fragments(self) -> None:
        """Every fragment prints what its comments say."""
        fragments = [block for block in blocks("README.rst") if "async def main" not in block]
        self.assertEqual(len(fragments), 5)
        await self.run_fragments(fragments)

    async def test_jobs(self) -> None:
        """Those about jobs in production do, too."""
        fragments = blocks("docs/jobs.rst")
        self.assertEqual(len(fragments), 2)
        await self.run_fragments(fragments)

    async def run_fragments(self, fragments: list[str]) -> None:
        thoonk = await Thoonk(await server_url(), reactor).connect()
        self.addCleanup(thoonk.close)
        for fragment in fragments:
            printed: list[str] = []
            names = {
                "thoonk": thoonk,
                "print": lambda *words, printed=printed: printed.append(" ".join(map(str, words))),
            }
            exec(  # noqa: S102  (our own README)
                "async def run():\n" + textwrap.indent(fragment, "    "), names
            )
            await names["run"]()
            expected = re.findall(r"print\(.*\)  # (.*)", fragment)
            self.assertGreater(len(expected), 0)
            self.assertEqual(printed, expected)

    async def test_program(self) -> None:
        """It prints the event of its item, and the item with its id."""
        program = blocks("README.rst")[0]
        out, err, status = await getProcessOutputAndValue(
            sys.executable, ["-c", program], env=os.environ, reactor=reactor
        )
        self.assertEqual((err, status), (b"", 0))
        self.assertRegex(out.decode(), r"^publish: hello\n\{'[0-9a-f]{32}': 'hello'\}\n$")
