"""The benchmarks run, and every declared row has a figure."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "benchmarks" / "run.py"
OURS = "txthoonk"
LIMITS = {"minimal", "redis-benchmark", "raw structures"}
LEAST = 50  # rows: there are more


async def run(*arguments: str, program: Path = PROGRAM) -> str:
    """Run the benchmarks; return what they print."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [str(program), *arguments]
    found = getProcessOutputAndValue(sys.executable, command, env=environment, reactor=reactor)
    output, errors, status = await found
    if status:
        raise AssertionError(
            f"{program.name} {' '.join(arguments)} ended with {status}:\n{errors[-2000:]}"
        )
    return output.decode()


def declared(listed: str) -> Iterator[tuple[list[str], set[str]]]:
    """Return the titles of each row's figures, and the programs that it measures."""
    for line in listed.splitlines():
        _, _, programs, *titles = line.split("\t")
        yield titles, set(programs.split(", "))


class BenchmarkTests(TestCase):
    timeout = 120

    def test_every_row_is_beside_a_limit(self) -> Deferred[None]:
        """Each row measures txthoonk and at least one limit, and no other library."""
        return Deferred.fromCoroutine(self._every_row_is_beside_a_limit())

    async def _every_row_is_beside_a_limit(self) -> None:
        rows = list(declared(await run("--list")))
        self.assertGreater(len(rows), LEAST)
        for titles, programs in rows:
            self.assertIn(OURS, programs, titles)
            self.assertTrue(programs & LIMITS, titles)
            self.assertEqual(programs - LIMITS, {OURS}, titles)

    def test_every_row_yields_a_figure(self) -> Deferred[None]:
        """A short run has a figure of each program in each row, and writes them to files."""
        return Deferred.fromCoroutine(self._every_row_yields_a_figure())

    async def _every_row_yields_a_figure(self) -> None:
        folder = Path(self.mktemp())
        rows = list(declared(await run("--list")))
        printed = await run("--quick", "--out", str(folder))
        results = json.loads((folder / "results.json").read_text())
        self.assertEqual(results["problems"], {})
        figures = results["figures"]
        for titles, programs in rows:
            self.assertEqual(set(figures.get(titles[0], {})), programs, titles)
            for title in titles:
                self.assertIn(OURS, figures.get(title, {}), title)
                for program, found in figures[title].items():
                    self.assertTrue(all(figure > 0 for figure in found), (title, program, found))
        for text in (
            printed,
            *((folder / f"results.{kind}").read_text() for kind in ("md", "inc")),
        ):
            for titles, _ in rows:
                if "items" not in titles[0]:
                    self.assertIn(titles[0], text)

    def test_two_runs(self) -> Deferred[None]:
        """A second run shows the rows of both runs next to each other."""
        return Deferred.fromCoroutine(self._two_runs())

    async def _two_runs(self) -> None:
        folders = [Path(self.mktemp()) for _ in range(2)]
        words = ["--quick", "--rows", "reads", "--out"]
        await run(*words, str(folders[0]))
        before = folders[0] / "results.json"
        results = json.loads(before.read_text())
        results["figures"]["get_item, one at a time"] = {OURS: [1234.0], "minimal": [617.0]}
        before.write_text(json.dumps(results))
        printed = await run(*words, str(folders[1]), "--again", str(before))
        both = (folders[1] / "both.inc").read_text()
        for text in (printed, both):
            lines = [line for line in text.splitlines() if line.startswith("get_item, one")]
            self.assertIn(
                ["1,234", "minimal", "2.00"],
                [
                    [word for word in line.split() if word in ("1,234", "minimal", "2.00")][:3]
                    for line in lines
                ],
            )
        self.assertFalse((folders[0] / "both.inc").exists())

    def test_every_idea_is_measured(self) -> Deferred[None]:
        """A short run of ``tried.py`` has two figures for each idea."""
        return Deferred.fromCoroutine(self._every_idea_is_measured())

    async def _every_idea_is_measured(self) -> None:
        file = Path(self.mktemp())
        words = ("--rounds", "1", "--calls", "200", "--rst", str(file))
        printed = await run(*words, program=PROGRAM.parent / "tried.py")
        self.assertEqual(printed.strip(), file.read_text().strip())
        units = [
            line for line in printed.splitlines() if line.endswith(("/s", "server", "client"))
        ]
        self.assertGreaterEqual(len(units), 22)
