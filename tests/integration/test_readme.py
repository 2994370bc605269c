"""Runs the first program of README as a separate program; test_docs runs the rest."""

from __future__ import annotations

import os
import sys

from twisted.internet import reactor
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from tests.support import TIMEOUT
from tests.support.readme import blocks


class ReadmeTests(TestCase):
    timeout = TIMEOUT

    async def test_program(self) -> None:
        """The program prints the event of its item, and the item with its id."""
        program = blocks("README.rst")[0]
        out, err, status = await getProcessOutputAndValue(
            sys.executable, ["-c", program], env=os.environ, reactor=reactor
        )
        self.assertEqual((err, status), (b"", 0))
        self.assertRegex(out.decode(), r"^publish: hello\n\{'[0-9a-f]{32}': 'hello'\}\n$")
