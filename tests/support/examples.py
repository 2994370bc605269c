"""Helpers for the tests of the examples."""

from __future__ import annotations

import ast
import os
import shlex
import sys
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.support import TIMEOUT, Recorder, children
from tests.support.children import ROOT
from txthoonk import ThoonkPubFactory, ThoonkSubFactory
from txthoonk.connections.addresses._url import parse_url

EXAMPLES = ROOT / "examples"
PROGRAMS = (
    "demo.py",
    "file_hashes.py",
    "handoff.py",
    "logtail.py",
    "news_feed.py",
    "orders.py",
    "pubsub.py",
    "task_queue.py",
    "todo.py",
    "todo_asgi.py",
    "wsgi_put.py",
)
URL = r"(unix:[^\s\"]+db=0)"
ITEM_EVENTS = ("publish", "edit", "retract")

sys.path.append(str(EXAMPLES))
example_tools: Any = import_module("example_tools")
logtail: Any = import_module("logtail")
news_feed: Any = import_module("news_feed")


def commands(program: str) -> list[str]:
    """Return the commands in the literal blocks of a program's docstring."""
    text = ast.get_docstring(ast.parse((EXAMPLES / program).read_text())) or ""
    return [line.strip() for line in text.splitlines() if line.startswith("    ")]


class Child(children.Child):
    """A command of a docstring.

    :ivar ended: fires its exit status and the signal that ended it.
    """

    def __init__(self, command: str, *more: str, cwd: Path = ROOT) -> None:
        super().__init__()
        words = shlex.split(command)
        paths = [str(ROOT)]
        if words[0].startswith("PYTHONPATH="):
            paths.insert(0, str(ROOT / words.pop(0).partition("=")[2]))
        self.spawn(
            sys.executable,
            *self._python_arguments(words),
            *more,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(paths)},
            path=str(cwd),
        )

    def _python_arguments(self, words: list[str]) -> list[str]:
        if words[0] == "python":
            return words[1:]
        if words[0] == "twist":
            return ["-m", "twisted", *words[1:]]
        if words[0] == "uvicorn":
            return ["-m", *words]
        return ["-c", "from twisted.scripts.twistd import run; run()", *words[1:]]

    def outcome(self, ended: Any) -> tuple[int | None, int | None]:
        return ended.exitCode, ended.signal

    def type(self, line: str) -> None:
        """Type a line."""
        self.transport.write(f"{line}\n".encode())

    def interrupt(self) -> Deferred[tuple[int | None, int | None]]:
        """Interrupt it as Ctrl-C does; fires exit status and signal."""
        return self.signal("INT").addTimeout(TIMEOUT, reactor)


async def item_seen(recorder: Recorder, item: str) -> None:
    """Wait until the event of an item has been recorded."""
    while item not in [parts[-1] for parts in recorder.calls]:
        await recorder.wait(len(recorder.calls) + 1)


class ProgramTestCase(TestCase):
    timeout = 2 * TIMEOUT  # a test starts programs

    def run_example(self, command: str, *more: str, cwd: Path = ROOT) -> Child:
        child = Child(command, *more, cwd=cwd)

        self.addCleanup(child.kill)
        return child

    def folder(self) -> Path:
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        return folder

    async def subscribe(self, url: str, *channels: str) -> Recorder:
        """Record the messages of channels on a server that a child has started."""
        sub: Any = await parse_url(url).endpoint(reactor).connect(ThoonkSubFactory())
        self.addCleanup(sub.close)
        recorder = Recorder()
        for channel in channels:
            await sub.register_handler(channel, recorder)
        return recorder

    async def stored(self, url: str, feed: str) -> list[str]:
        """Return the items of a feed on a server that an example has started."""
        pub: Any = await parse_url(url).endpoint(reactor).connect(ThoonkPubFactory())
        self.addCleanup(pub.close)
        return list((await (await pub.feed(feed)).get_all()).values())

    def assert_stopped(self, url: str) -> None:
        """Check that nothing is left of a child's private server."""
        folder = Path(unquote(parse_url(url).path)).parent
        self.assertFalse(folder.exists(), folder)


def atom(path: Path, **titles: str) -> None:
    """Write an Atom file with these entries, oldest first: id=title."""
    entries = [
        f"<entry><id>{id_}</id><title>{title}</title><summary>of {id_}</summary>"
        f"<link href='https://example.org/{id_}'/>"
        f"<updated>2026-01-{day:02}T00:00:00Z</updated></entry>"
        for day, (id_, title) in enumerate(titles.items(), 1)
    ]
    new = path.with_suffix(".new")
    new.write_text(
        "<?xml version='1.0' encoding='utf-8'?><feed xmlns='http://www.w3.org/2005/Atom'>"
        "<id>urn:test</id><title>Test</title><updated>2026-01-01T00:00:00Z</updated>"
        f"{''.join(reversed(entries))}</feed>",
        "utf-8",
    )
    new.replace(path)
