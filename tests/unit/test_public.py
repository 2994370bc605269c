"""The public names: each exported, documented and typed."""

from __future__ import annotations

import importlib
import inspect
import json
import re
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import txthoonk
from tests.support import public_api
from tests.support.docs_blocks import ROOT
from tests.support.public import modules, ours, public


class PublicTests(SynchronousTestCase):
    """The names that a user may import are complete."""

    def test_modules_are_found(self) -> None:
        """The walk finds the modules that the documentation names."""
        names = {module.__name__ for module in modules()}
        for name in ("", ".client", ".errors", ".protocol", ".testing", ".types", ".types.feed"):
            self.assertIn(f"txthoonk{name}", names)

    def test_all(self) -> None:
        """Each module lists its public names once each, and defines them."""
        for module in modules():
            exported: Any = getattr(module, "__all__", None)
            self.assertIsNotNone(exported, module.__name__)
            self.assertEqual(len(set(exported)), len(exported), module.__name__)
            for name in exported:
                self.assertTrue(hasattr(module, name), (module.__name__, name))

    def test_star_import(self) -> None:
        """``from ... import *`` works for each module."""
        for module in modules():
            names: dict[str, Any] = {}
            exec(f"from {module.__name__} import *", names)  # noqa: S102
            self.assertLessEqual(set(module.__all__), set(names))

    def test_docstrings(self) -> None:
        """Each module, class, function and method has a docstring."""
        for module in modules():
            self.assertTrue((module.__doc__ or "").strip(), module.__name__)
        for name, thing in public():
            own = vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__
            self.assertTrue((own or "").strip(), name)

    def test_annotations(self) -> None:
        """Each argument and result of a public function has a type."""
        for name, thing in public():
            if inspect.isclass(thing):
                if ours(getattr(thing, "__init__", None)):
                    self.check_annotations(f"{name}()", thing.__init__)
            else:
                self.check_annotations(name, thing)

    def check_annotations(self, name: str, function: Any) -> None:
        wrapped = getattr(function, "__wrapped__", None)
        if wrapped is not None and wrapped.__name__ == function.__name__:
            function = wrapped  # the decorator copied its name and its types
        if hasattr(function, "__signature__"):
            # A command of the table shows the signature of the command, and has its own types.
            self.assertIn("return", function.__annotations__, name)
            return
        signature = inspect.signature(function, follow_wrapped=False)
        for position, parameter in enumerate(signature.parameters.values()):
            if position or parameter.name not in ("self", "cls"):
                self.assertIsNot(parameter.annotation, parameter.empty, (name, parameter.name))
        self.assertIsNot(signature.return_annotation, signature.empty, name)

    def test_constructor_arguments(self) -> None:
        """Each argument of a constructor is in a docstring or on the page of the reference."""
        pages = ROOT / "docs" / "api"
        reference = "".join(page.read_text("utf-8") for page in pages.glob("*.rst"))
        for name, thing in public():
            init = vars(thing).get("__init__") if inspect.isclass(thing) else None
            if init is None or issubclass(thing, Exception):
                continue
            docs = f"{thing.__doc__} {init.__doc__} {reference}"
            for parameter in list(inspect.signature(init).parameters.values())[1:]:
                if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                    argument = re.escape(parameter.name)
                    self.assertRegex(docs, rf":(param|ivar) {argument}:|\*{argument}\*", name)

    def test_errors_have_one_root(self) -> None:
        """Every exported exception can be caught as ThoonkError."""
        for name, thing in public():
            if inspect.isclass(thing) and issubclass(thing, BaseException):
                self.assertTrue(issubclass(thing, txthoonk.ThoonkError), name)

    def test_aliases(self) -> None:
        """The types in signatures can be imported from the module of their users."""
        for module, names in (
            ("client", "Handler"),
            ("service", "StateChanged"),
            ("subscriptions", "EventHandler"),
            ("types", "BaseFeed Config"),
            ("worker", "BackOff Feeds Handler"),
        ):
            for name in names.split():
                imported = importlib.import_module(f"txthoonk.{module}")
                self.assertIn(name, imported.__all__)

    def test_reactors(self) -> None:
        """The type of every reactor argument is the interface of Twisted that is needed."""
        taken = 0
        for name, thing in public():
            function = thing.__init__ if inspect.isclass(thing) else thing
            reactor = getattr(function, "__annotations__", {}).get("reactor")
            if reactor is not None:
                taken += 1
                self.assertRegex(str(reactor), r"\bIReactor[A-Z]", name)
        self.assertGreater(taken, 5)

    def test_recorded(self) -> None:
        """Names, signatures and summaries match the record, so that every change is deliberate.

        ``python -m tests.support.public_api > tests/support/public_api.json`` writes the record.
        """
        recorded = json.loads(Path(public_api.__file__).with_suffix(".json").read_text("utf-8"))
        self.maxDiff = None
        self.assertEqual(public_api.api(), recorded)

    def test_version(self) -> None:
        """The package has a version number."""
        self.assertRegex(txthoonk.__version__, r"\A\d+\.\d+\.\d+\Z")

    def test_names_of_txthoonk_01(self) -> None:
        """The import names of txthoonk 0.1 exist."""
        for module, names in (
            ("client", "ThoonkPub ThoonkPubFactory ThoonkSub ThoonkSubFactory"),
            ("client", "FeedExists FeedDoesNotExist Redis RedisSubscriber"),
            ("types", "Feed"),
        ):
            for name in names.split():
                imported = importlib.import_module(f"txthoonk.{module}")
                self.assertIn(name, imported.__all__)
