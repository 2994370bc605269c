"""The decisions on positions are pure functions, as their module says."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from types import MappingProxyType

from twisted.trial.unittest import SynchronousTestCase

from txthoonk.history import _reads, _recovery

#: Calls that change nothing: builtins, records without setters, and each other.
HARMLESS = {"any", "next", "Event", "Outcome", "Position"}
#: Statements that an expression of arguments and constants does not need.
CHANGING = (
    *(ast.Global, ast.Nonlocal, ast.Delete, ast.AugAssign, ast.With, ast.Try, ast.Raise),
    *(ast.Import, ast.ImportFrom, ast.Yield, ast.YieldFrom, ast.Await, ast.AsyncFunctionDef),
)


def functions() -> Iterator[ast.FunctionDef]:
    """Parse all functions of the module, and the methods of its classes."""
    for node in ast.walk(ast.parse(inspect.getsource(_recovery))):
        if isinstance(node, ast.FunctionDef):
            yield node


def targets(node: ast.AST) -> Iterator[ast.AST]:
    """Return what an assignment assigns to."""
    if isinstance(node, ast.Assign):
        yield from node.targets
    elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)):
        yield node.target


class PureTests(SynchronousTestCase):
    def test_only_names_are_assigned(self) -> None:
        """No function assigns to anything but its own variables, or has another statement."""
        names = [function.name for function in functions()]
        self.assertLessEqual({"step", "after_look", "drop_void", "connects"}, set(names))
        for function in functions():
            for node in ast.walk(function):
                self.assertFalse(isinstance(node, CHANGING), function.name)
                for target in targets(node):
                    self.assertIsInstance(target, ast.Name, function.name)

    def test_only_pure_functions_are_called(self) -> None:
        """No function calls a method, or a function that is not known to be pure."""
        for function in functions():
            for node in ast.walk(function):
                if isinstance(node, ast.Call):
                    self.assertIsInstance(node.func, ast.Name, function.name)
                    assert isinstance(node.func, ast.Name)
                    self.assertIn(node.func.id, HARMLESS, function.name)

    def test_records(self) -> None:
        """Their arguments, their results and the reasons cannot be changed."""
        records = (_recovery.NOWHERE, _recovery.Outcome(_recovery.NOWHERE), _reads.Look("ok"))
        for record in records:
            self.assertRaises(AttributeError, setattr, record, "revision", 1)
        self.assertIsInstance(_reads.REASONS, MappingProxyType)
