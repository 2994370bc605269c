"""The README's program runs as written."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

README = Path(__file__).parents[2] / "README.rst"


class ReadmeTests(TestCase):
    async def test_program(self) -> None:
        """It prints the event of its item, and the item with its id."""
        block = re.search(r"\.\. code-block:: python\n\n((?:    .*\n|\n)+)", README.read_text())
        program = re.sub("^    ", "", block[1], flags=re.MULTILINE)
        out, err, status = await getProcessOutputAndValue(
            sys.executable, ["-c", program], env=os.environ, reactor=reactor
        )
        self.assertEqual((err, status), (b"", 0))
        self.assertRegex(out.decode(), r"^new: hello\n\{'[0-9a-f]{32}': 'hello'\}\n$")
