"""Every code block of README and docs is run, or is listed as an exception."""

from __future__ import annotations

import ast
import contextlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.protocol import Factory
from twisted.internet.utils import getProcessOutput
from twisted.python.reflect import namedAny
from twisted.trial.unittest import SynchronousTestCase

import txthoonk
from tests.support import RedisTestCase, server_url
from tests.support.docs import Story
from tests.support.docs_blocks import DOCUMENTS, ROOT, Block, blocks
from tests.support.public import modules, public
from txthoonk import Thoonk
from txthoonk.protocol import Redis

# Blocks that are not run with their page: the page and the block's start -> the reason.
EXCEPTIONS = {
    ("README.rst", "make demo    #"): "runs this test, and what test_examples runs",
    ("README.rst", "from twisted.internet.task import react"): "run by test_readme",
    ("README.rst", "$ twist thoonk-worker --redis"): "no such handler; see docs/tutorial.rst",
    ("docs/benchmarks.rst", "$ make bench"): "many minutes; test_benchmarks runs its quick form",
    ("docs/benchmarks.rst", "$ python benchmarks/tried.py"): "minutes; test_benchmarks runs it",
    ("docs/deployment.rst", "# systemctl enable"): "needs systemd, and to be root",
    ("docs/deployment.rst", "FROM python:3.13-slim"): "needs Docker, and a package index",
    ("docs/howto/fanout.rst", "const news = new Map();"): "runs in a browser",
    ("docs/howto/index.rst", "thoonk = await Thoonk("): "done before each page",
    ("docs/metrics.rst", "groups:"): "read by Prometheus; test_metrics checks the names",
    ("docs/metrics.rst", "sum by (feed)"): "the same",
    ("docs/metrics.rst", "$ thoonk top\n"): "a terminal at one moment; see test_top",
    ("docs/metrics.rst", "$ thoonk top --once --json | jq"): "needs jq; see test_top",
}

# Pages whose blocks another test runs.
ELSEWHERE = {"docs/security.rst": "tests/integration/wire/test_acl.py"}

# Console commands that are not run: a regular expression -> the reason.
SKIPPED = {
    r"python3 -m venv ": "the gate makes its environments so, and installs into them",
    r"\. env/bin/activate": "the same",
    r"pip install ": "the same; here it would need a package index",
}


def excepted(block: Block) -> tuple[str, str] | None:
    """Return the entry of a block in the list of exceptions."""
    for document, begin in EXCEPTIONS:
        if document == block.document and block.text.startswith(begin):
            return document, begin
    return None


class DocumentsTests(SynchronousTestCase):
    def test_exceptions(self) -> None:
        """Each exception matches a block and has a reason."""
        found = {excepted(block) for document in DOCUMENTS for block in blocks(document)}
        self.assertEqual(set(EXCEPTIONS) - found, set())
        self.assertTrue(all(EXCEPTIONS.values()) and all(SKIPPED.values()))

    def test_elsewhere(self) -> None:
        """The tests that run a page elsewhere exist and mention the page."""
        for document, path in ELSEWHERE.items():
            self.assertIn(document, (ROOT / path).read_text("utf-8"))

    def test_tests(self) -> None:
        """The tests that a page names exist."""
        for document in DOCUMENTS:
            for path in re.findall(r"``(tests/[\w/.]+)``", (ROOT / document).read_text("utf-8")):
                self.assertTrue((ROOT / path).exists(), (document, path))

    def test_no_way_is_overlooked(self) -> None:
        """The pages show code only in the ways that ``blocks`` finds."""
        for document in DOCUMENTS:
            shown = (ROOT / document).read_text("utf-8")
            known = [block for block in blocks(document) if block.language != "hidden"]
            directives = re.findall(r"(?m)^ *\.\. (?:code-block|literalinclude)::", shown)
            literals = re.findall(r"(?m)^(?! *\.\. ).*::$", shown)
            hidden = [block.text for block in blocks(document) if block.language == "hidden"]
            inside = sum(text.count("::\n") for text in hidden)
            self.assertEqual(len(known), len(directives) + len(literals) - inside, document)


#: The modules and packages that users import from, ``txthoonk.cli`` excepted.
PUBLIC = (
    "client",
    "errors",
    "events",
    "interfaces",
    "maintenance",
    "metrics",
    "mirror",
    "protocol",
    "serializers",
    "service",
    "subscriptions",
    "testing",
    "types",
    "worker",
)


class ReferenceTests(SynchronousTestCase):
    """docs/api has all public names."""

    def test_names(self) -> None:
        """The first page of docs/api has the names of ``txthoonk`` itself."""
        text = (ROOT / "docs/api/index.rst").read_text("utf-8")
        named = re.findall(r":\w+:`~txthoonk\.[\w.]*?(\w+)`", text)
        self.assertEqual(sorted([*named, "__version__"]), sorted(txthoonk.__all__))

    def test_modules(self) -> None:
        """docs/api documents each public module except the command and alternative paths."""
        pages = [path.read_text("utf-8") for path in (ROOT / "docs/api").glob("*.rst")]
        named = {name for page in pages for name in re.findall(r"automodule:: (\S+)", page)}
        self.assertEqual(named, {f"txthoonk.{name}" for name in PUBLIC})


class DocstringTests(RedisTestCase):
    """The examples in docstrings, which the reference shows."""

    async def run_example(self, module: str, **names: Any) -> dict[str, Any]:
        """Run the one example of a module's docstring on this run's Redis; return its names."""
        (block,) = blocks(module, namedAny(module).__doc__)
        text = block.text.replace("redis://localhost:6379/0", self.target.text)
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        names |= {"reactor": reactor, "clientFromString": lambda *_: self.target.endpoint(reactor)}
        with contextlib.suppress(Enough):
            await eval(compile(text, f"<{module}>", "exec", flags), names)  # noqa: S307
        return names

    def test_no_other(self) -> None:
        """Only these docstrings have examples."""
        documented = [(module.__name__, module) for module in modules()] + [*public()]
        found = [name for name, thing in documented if "::\n" in (thing.__doc__ or "")]
        examples = ["txthoonk", "txthoonk.client", "txthoonk.protocol", "txthoonk.testing"]
        self.assertEqual(found, examples)

    async def test_package(self) -> None:
        """The package's example prints the published event."""
        printed: list[tuple[str, str]] = []

        def show(*words: str) -> None:
            printed.append(words)  # type: ignore[arg-type]
            raise Enough()

        names = await self.run_example("txthoonk", print=show)
        await names["thoonk"].close()
        self.assertEqual(printed, [("publish", "hello")])

    async def test_client(self) -> None:
        """The client example connects both objects."""
        names = await self.run_example("txthoonk.client", **vars(txthoonk.client))
        for name, kind in (("pub", txthoonk.ThoonkPub), ("sub", txthoonk.ThoonkSub)):
            self.assertIsInstance(names[name], kind)
            await names[name].close()

    async def test_protocol(self) -> None:
        """The protocol example stores its value."""
        ours = partial(Redis, **self.target.credentials)
        names = await self.run_example("txthoonk.protocol", Factory=Factory, Redis=ours)
        self.assertEqual(await self.raw.get("answer"), b"42")
        await names["redis"].close()

    async def test_testing(self) -> None:
        """The test suite of the testing example passes."""
        folder = Path(self.mktemp())
        folder.mkdir()
        (block,) = blocks("txthoonk.testing", namedAny("txthoonk.testing").__doc__)
        (folder / "test_example.py").write_text(block.text)
        output = await getProcessOutput(
            sys.executable,
            ["-m", "twisted.trial", "test_example"],
            {**os.environ, "PYTHONPATH": str(ROOT)},
            str(folder),
            errortoo=True,
        )
        self.assertIn(b"PASSED (successes=1)", output)


class Enough(Exception):
    """Ends an example that would run for ever."""


class StoryTests(RedisTestCase):
    """Each page of the docs is a test."""

    timeout = 120

    async def tell(self, document: str) -> None:
        """Run all blocks of a page except the exceptions."""
        thoonk = await Thoonk(await server_url(), reactor).connect()
        self.addCleanup(thoonk.close)
        folder = Path(tempfile.mkdtemp(prefix="docs-"))
        self.addCleanup(shutil.rmtree, folder)
        story = Story(thoonk, folder, SKIPPED)
        self.addCleanup(story.kill)
        for block in blocks(document):
            if excepted(block) is None:
                await story.run(block)
        await story.end()


def _test_of(document: str) -> Callable[[StoryTests], Any]:
    async def test(self: StoryTests) -> None:
        await self.tell(document)

    test.__doc__ = f"What {document} shows is so."
    return test


for _document in sorted({*DOCUMENTS} - {*ELSEWHERE}):
    _name = re.sub(r"\W+", "_", _document.removesuffix(".rst")).lower()
    setattr(StoryTests, f"test_{_name}", _test_of(_document))
