"""A short run of the chaos test of workers; ``make chaos`` runs it for minutes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

ROOT = Path(__file__).parents[2]
SECONDS = 8  # of trouble; longer until each kind of trouble has happened
SEED = 20261121


class JobsChaosTests(TestCase):
    timeout = 480

    async def test_short(self) -> None:
        """Every job ends finished, once and with its result, or stalled with a reason."""
        words = ("-m", "tests.chaos._jobs", "--seconds", str(SECONDS), "--seed", str(SEED))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
        output, errors, status = await getProcessOutputAndValue(sys.executable, words, environment)
        text = (output + errors).decode()
        self.assertEqual(status, 0, text)
        for done in (
            "connections cut",
            "server crashes",
            "server restarts",
            "workers frozen",
            "workers killed",
            "workers stopped",
        ):
            self.assertIn(done, text)
