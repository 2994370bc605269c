"""The results: a figure for each row, program and round."""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path

import attr
from peers.programs import OURS, PROGRAMS, Program
from rows import ROWS

__all__ = ["Line", "Results", "lines_of", "shown"]

_PROGRAMS = {program.name: program for program in PROGRAMS}


@attr.frozen
class Line:
    """One line of a table; most rows have one.

    :ivar higher_is_better: or lower.
    """

    title: str
    group: str
    unit: str
    higher_is_better: bool


@attr.define
class Results:
    """The figures, and the failures of programs.

    :ivar about: the machine and the versions.
    :ivar figures: by title of the line, and name of the program.
    """

    about: list[str] = attr.Factory(list)
    figures: dict[str, dict[str, list[float]]] = attr.Factory(dict)
    problems: dict[str, str] = attr.Factory(dict)

    def add(self, program: Program, measured: dict[str, float]) -> None:
        """Store the figures of a round."""
        for title, figure in measured.items():
            self.figures.setdefault(title, {}).setdefault(program.name, []).append(figure)
            print(f"  {program.name:>16}  {title:50}{shown(figure):>12}", file=sys.stderr)

    def failed(self, program: Program, title: str, error: Exception) -> None:
        """Store the failure of a program."""
        self.problems.setdefault(f"{program.name}, {title}", str(error))
        print(f"  {program.name:>16}  {title}: {error}", file=sys.stderr)

    def median(self, title: str, name: str) -> float | None:
        figures = self.figures.get(title, {}).get(name)
        return statistics.median(figures) if figures else None

    def spread(self, title: str, name: str) -> tuple[float, float] | None:
        """Return the lowest and the highest figure."""
        figures = self.figures.get(title, {}).get(name)
        return (min(figures), max(figures)) if figures else None

    def better(self, line: Line, name: str | None) -> float | None:
        """Return how many times better txthoonk is than another program."""
        if name is None:
            return None
        ours, theirs = self.median(line.title, OURS), self.median(line.title, name)
        if not ours or not theirs:
            return None
        return ours / theirs if line.higher_is_better else theirs / ours

    def best_peer(self, line: Line, for_python: bool = False) -> str | None:
        """Name the best peer.

        :param for_python: of those for Python.
        """
        medians = {
            name: statistics.median(figures)
            for name, figures in self.figures.get(line.title, {}).items()
            if is_peer(_PROGRAMS[name], for_python)
        }
        best = max if line.higher_is_better else min
        return best(medians, key=lambda name: medians[name]) if medians else None

    def save(self, path: Path) -> None:
        """Write the results to a file, to compare a later run with."""
        path.write_text(json.dumps(attr.asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Results:
        """Read saved results."""
        return cls(**json.loads(path.read_text()))


def is_peer(program: Program, for_python: bool) -> bool:
    if program.is_limit or program.name == OURS:
        return False
    return program.for_python or not for_python


def lines_of(results: Results) -> list[Line]:
    """Return the lines that have figures, in the order of the rows."""
    return [
        Line(title, row.group, row.unit, row.higher_is_better)
        for row in ROWS
        for title in row.lines
        if title in results.figures
    ]


def shown(figure: float | None) -> str:
    """Write a figure with three digits, or all before the point; a dash for none."""
    if figure is None:
        return "-"
    digits = 0 if abs(figure) >= 100 else 1 if abs(figure) >= 10 else 2
    return f"{figure:,.{digits}f}"
