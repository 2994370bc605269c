"""Modules leave the private attributes of other modules' objects alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import txthoonk

PACKAGE = Path(txthoonk.__file__).parent

#: Names with an underscore that are public: those of named tuples, and of the standard library.
PUBLIC = {"_replace", "_asdict", "_exit"}

CALLS_OF = "calls_of, which hands a worker the internal calls of Job, is in the module of Job"
MADE = "a ThreadClaim, whose own class method makes it"
MIRROR = "the function that makes a Mirror is in its module"

#: Accesses to another object, with the reason why each is right.
ALLOWED = {
    ("job/_job.py", "job._claimed"): CALLS_OF,
    ("job/_job.py", "job._claiming"): CALLS_OF,
    ("job/_job.py", "job._claims"): CALLS_OF,
    ("job/_job.py", "job._deadlines"): "timekeeper_of is in the module of Job",
    ("job/_job.py", "job._finishing"): CALLS_OF,
    ("job/_job.py", "job._held"): CALLS_OF,
    ("job/_job.py", "self.job._progressed"): "Claim and Job know each other, and share a module",
    ("job/claims/_thread_claim.py", "made._call"): MADE,
    ("job/claims/_thread_claim.py", "made._claim"): MADE,
    ("subscriptions/_decoder.py", "other._twin"): "another object of the same class",
    ("subscriptions/_mirror.py", "mirror._cannot_follow"): MIRROR,
    ("subscriptions/_mirror.py", "mirror._first"): MIRROR,
    ("subscriptions/_mirror.py", "mirror._follow"): MIRROR,
}


def is_private(name: str) -> bool:
    """Return whether a name is that of a private attribute."""
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


def is_own(value: ast.expr) -> bool:
    """Return whether an expression is the object, or the class, whose method this is."""
    if isinstance(value, ast.Call):
        value = value.func
        return isinstance(value, ast.Name) and value.id == "super"
    return isinstance(value, ast.Name) and value.id in ("self", "cls")


def foreign(source: str) -> Iterator[str]:
    """List the private attributes of other objects that some source reads or writes."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and not is_own(node.value):
            yield ast.unparse(node)


class PrivateAccessTests(SynchronousTestCase):
    """Only an object itself uses its private attributes."""

    def test_other_object(self) -> None:
        """An attribute of another object is found, read or written."""
        found = foreign("class A:\n def f(self): self.b._x = self._y.z(other._w, f()._v)")
        self.assertEqual(sorted(found), ["f()._v", "other._w", "self.b._x"])

    def test_own(self) -> None:
        """An object uses its own attributes, and those of its base classes."""
        self.assertEqual(list(foreign("class A:\n def f(self): super()._x(self._y, cls._z)")), [])

    def test_public(self) -> None:
        """Some names with an underscore are public, and so are special methods."""
        self.assertEqual(list(foreign("a._replace(b=1), a._asdict(), os._exit(a.__len__())")), [])

    def test_package(self) -> None:
        """The package has the accesses that are allowed, and no others."""
        found = {
            (path.relative_to(PACKAGE).as_posix(), access)
            for path in PACKAGE.rglob("*.py")
            for access in foreign(path.read_text("utf-8"))
        }
        self.assertEqual(sorted(found), sorted(ALLOWED))
