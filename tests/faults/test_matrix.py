"""The matrix of verbs and faults is complete, and the page shows it."""

from __future__ import annotations

import inspect
import re
from types import FunctionType
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import txthoonk
from tests.faults.matrix import PAGE, render
from tests.faults.outcomes import FAULTS, WORDS, read_cells, record, together
from tests.faults.verbs import LOCAL, VERBS

CLASSES = (
    *("ThoonkPub", "ThoonkSub", "Thoonk", "Feed", "SortedFeed", "Queue", "PythonQueue", "Job"),
    *("Claim", "Subscription", "Mirror", "Worker", "Maintenance"),
)


def public_methods(cls: Any) -> dict[str, FunctionType]:
    """Return the public methods that txthoonk defines for a class, including inherited ones."""
    found = {}
    for name in dir(cls):
        value = None if name.startswith("_") else getattr(cls, name)
        if inspect.isfunction(value) and value.__module__.startswith("txthoonk"):
            found[name] = value
    return found


class VerbTests(SynchronousTestCase):
    """Every public verb has a row."""

    def test_covered(self) -> None:
        """Each public method is in a row, or is known to send nothing to Redis."""
        covered = set()
        for verb in VERBS:
            for name in verb.covers:
                cls, _, method = name.partition(".")
                covered.add(getattr(getattr(txthoonk, cls), method))
        for cls in CLASSES:
            for name, found in public_methods(getattr(txthoonk, cls)).items():
                known = found in covered or name in LOCAL or f"{cls}.{name}" in LOCAL
                self.assertTrue(known, f"{cls}.{name} has no row in tests/faults")

    def test_local_names_exist(self) -> None:
        """Each name in LOCAL exists."""
        names = {name for cls in CLASSES for name in public_methods(getattr(txthoonk, cls))}
        for name in LOCAL:
            self.assertIn(name.rpartition(".")[2], names)

    def test_classes(self) -> None:
        """Every exported class with methods is checked."""
        for name in txthoonk.__all__:
            thing = getattr(txthoonk, name)
            if not inspect.isclass(thing) or issubclass(thing, BaseException):
                continue
            if public_methods(thing) and not name.endswith("Factory"):
                self.assertIn(name, CLASSES)

    def test_names(self) -> None:
        """Each row has a unique name, in words and as a part of a test's name."""
        for names in (
            [verb.name for verb in VERBS],
            [re.sub(r"\W+", "_", verb.name).strip("_") for verb in VERBS],
        ):
            self.assertEqual(len(set(names)), len(names))


class MatrixTests(SynchronousTestCase):
    """The page is complete and up to date."""

    def test_no_empty_cell(self) -> None:
        """Each verb has an outcome under each fault."""
        cells = read_cells()
        missing = [
            (verb.name, fault.key)
            for verb in VERBS
            for fault in FAULTS
            if not cells.get(verb.name, {}).get(fault.key)
        ]
        self.assertEqual(missing, [])

    def test_no_other_cell(self) -> None:
        """There are no cells of verbs or faults that no longer exist."""
        cells = read_cells()
        self.assertEqual(set(cells) - {verb.name for verb in VERBS}, set())
        keys = {fault.key for fault in FAULTS}
        for name, row in cells.items():
            self.assertEqual(set(row) - keys, set(), name)

    def test_words(self) -> None:
        """Each word of a cell is explained on the page."""
        for row in read_cells().values():
            for outcome in row.values():
                for word in outcome.split(" / "):
                    self.assertIn(word if word in WORDS else word.partition(", ")[0], WORDS)

    def test_page(self) -> None:
        """The committed page equals the one generated from the committed cells."""
        about = "python -m tests.faults.matrix > docs/faults.rst"
        self.assertEqual(PAGE.read_text(), render(), about)


class RecordTests(SynchronousTestCase):
    """An outcome that breaks a promise, or that is not on the page, cannot be recorded."""

    def setUp(self) -> None:
        self.patch(__import__("os"), "environ", {})

    def test_broken_promise(self) -> None:
        """A write whose request was cut must not be done."""
        error = self.assertRaises(
            AssertionError, record, "Feed.retract", "request/bare", "done, ConnectionLost"
        )
        self.assertIn("keeps no promise", str(error))

    def test_not_on_the_page(self) -> None:
        """An outcome that is allowed, but differs from the page, fails."""
        error = self.assertRaises(
            AssertionError, record, "Feed.retract", "request/bare", "no answer, ConnectionLost"
        )
        self.assertIn("docs/faults.rst says", str(error))

    def test_unknown_word(self) -> None:
        """An outcome in an unknown word fails."""
        error = self.assertRaises(AssertionError, record, "Feed.retract", "bytes", "fine")
        self.assertIn("no such outcome", str(error))

    def test_together(self) -> None:
        """Done at one byte and not done at another make "some done"."""
        words = ["done, ConnectionLost", "not done, ConnectionLost", "done", ""]
        self.assertEqual(together(words), "some done, ConnectionLost")
        self.assertEqual(together(["done"]), "done")
        self.assertEqual(together(["goes on", "missed"]), "goes on / missed")
