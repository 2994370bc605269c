"""The public names: each exported, documented and typed."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import txthoonk
from tests.unit import public_api


def modules() -> Iterator[ModuleType]:
    """Import every module whose path has no leading underscore."""
    yield txthoonk
    for module in pkgutil.walk_packages(txthoonk.__path__, "txthoonk."):
        if not any(part.startswith("_") for part in module.name.split(".")):
            yield importlib.import_module(module.name)


def ours(thing: Any) -> bool:
    return str(getattr(thing, "__module__", "")).partition(".")[0] == "txthoonk"


def functions(owner: type) -> Iterator[tuple[str, FunctionType]]:
    """Give the public methods and properties that a class, or a base of ours, defines."""
    for cls in owner.__mro__:
        if ours(cls):
            for name, value in vars(cls).items():
                function = inspect.unwrap(value, stop=lambda f: True)
                if isinstance(value, (staticmethod, classmethod)):
                    function = value.__func__
                elif isinstance(value, property):
                    function = value.fget
                if isinstance(function, FunctionType) and not name.startswith("_"):
                    yield f"{cls.__module__}.{cls.__name__}.{name}", function


def public() -> Iterator[tuple[str, Any]]:
    """Give every exported name that is defined in txthoonk, methods included."""
    for module in modules():
        for name in module.__all__:
            thing = getattr(module, name)
            if ours(thing) and (inspect.isclass(thing) or inspect.isfunction(thing)):
                yield f"{module.__name__}.{name}", thing
                if inspect.isclass(thing):
                    yield from functions(thing)


class PublicTests(SynchronousTestCase):
    """What a user may import is complete."""

    def test_modules_are_found(self) -> None:
        """The walk sees the modules that the documentation names."""
        names = {module.__name__ for module in modules()}
        for name in ("", ".client", ".errors", ".protocol", ".testing", ".types", ".types.feed"):
            self.assertIn(f"txthoonk{name}", names)

    def test_all(self) -> None:
        """Each module lists its names, once each, and has them."""
        for module in modules():
            exported = getattr(module, "__all__", None)
            self.assertIsNotNone(exported, module.__name__)
            self.assertEqual(len(set(exported)), len(exported), module.__name__)
            for name in exported:
                self.assertTrue(hasattr(module, name), (module.__name__, name))

    def test_star_import(self) -> None:
        """``from ... import *`` works for each."""
        for module in modules():
            names: dict[str, Any] = {}
            exec(f"from {module.__name__} import *", names)  # noqa: S102
            self.assertLessEqual(set(module.__all__), set(names))

    def test_docstrings(self) -> None:
        """Each module, class, function and method says what it is."""
        for module in modules():
            self.assertTrue((module.__doc__ or "").strip(), module.__name__)
        for name, thing in public():
            own = vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__
            self.assertTrue((own or "").strip(), name)

    def test_annotations(self) -> None:
        """Each argument and result of a public function has its type."""
        for name, thing in public():
            if inspect.isclass(thing):
                if ours(getattr(thing, "__init__", None)):
                    self.check_annotations(f"{name}()", thing.__init__)
            else:
                self.check_annotations(name, thing)

    def check_annotations(self, name: str, function: Any) -> None:
        wrapped = getattr(function, "__wrapped__", None)
        if wrapped is not None and wrapped.__name__ == function.__name__:
            function = wrapped  # a decorator took its name and its types
        if hasattr(function, "__signature__"):
            # A command of the table: what it shows is the command's, its types are its own.
            self.assertIn("return", function.__annotations__, name)
            return
        signature = inspect.signature(function, follow_wrapped=False)
        for position, parameter in enumerate(signature.parameters.values()):
            if position or parameter.name not in ("self", "cls"):
                self.assertIsNot(parameter.annotation, parameter.empty, (name, parameter.name))
        self.assertIsNot(signature.return_annotation, signature.empty, name)

    def test_errors_have_one_root(self) -> None:
        """Every exception that is exported can be caught as ThoonkError."""
        for name, thing in public():
            if inspect.isclass(thing) and issubclass(thing, BaseException):
                self.assertTrue(issubclass(thing, txthoonk.ThoonkError), name)

    def test_recorded(self) -> None:
        """Names, signatures and summaries are those of the record: a change is deliberate.

        ``python -m tests.unit.public_api > tests/unit/public_api.json`` writes it anew.
        """
        recorded = json.loads(Path(public_api.__file__).with_suffix(".json").read_text("utf-8"))
        self.maxDiff = None
        self.assertEqual(public_api.api(), recorded)

    def test_version(self) -> None:
        """The package says which it is."""
        self.assertRegex(txthoonk.__version__, r"\A\d+\.\d+\.\d+\Z")

    def test_names_of_txthoonk_01(self) -> None:
        """The import names of txthoonk 0.1 are there."""
        for module, names in (
            ("client", "ThoonkPub ThoonkPubFactory ThoonkSub ThoonkSubFactory"),
            ("client", "FeedExists FeedDoesNotExist Redis RedisSubscriber"),
            ("types", "Feed"),
        ):
            for name in names.split():
                imported = importlib.import_module(f"txthoonk.{module}")
                self.assertIn(name, imported.__all__)
