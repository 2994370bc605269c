"""What the tests of the examples share."""

from __future__ import annotations

import ast
import os
import re
import shlex
import sys
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from tests.support import TIMEOUT, Recorder
from txthoonk import ThoonkPubFactory, ThoonkSubFactory
from txthoonk.connections._url import parse_url

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
PROGRAMS = (
    "demo.py",
    "file_hashes.py",
    "handoff.py",
    "logtail.py",
    "news_feed.py",
    "pubsub.py",
    "todo.py",
)
URL = r"(unix:[^\s\"]+db=0)"
ITEM_EVENTS = ("publish", "edit", "retract")

sys.path.append(str(EXAMPLES))
example_tools: Any = import_module("example_tools")
logtail: Any = import_module("logtail")
news_feed: Any = import_module("news_feed")


def commands(program: str) -> list[str]:
    """Give the commands that a program's docstring has in its literal blocks."""
    text = ast.get_docstring(ast.parse((EXAMPLES / program).read_text())) or ""
    return [line.strip() for line in text.splitlines() if line.startswith("    ")]


class Child(ProcessProtocol):
    """A command of a docstring that runs; its output can be waited for."""

    def __init__(self, command: str, *more: str, cwd: Path = ROOT) -> None:
        words = shlex.split(command)
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        paths = [str(ROOT)]
        if words[0].startswith("PYTHONPATH="):
            paths.insert(0, str(ROOT / words.pop(0).partition("=")[2]))
        environment["PYTHONPATH"] = os.pathsep.join(paths)
        self.out = self.err = ""
        self.ended: Deferred[tuple[int | None, int | None]] = Deferred()
        self._waiting: list[tuple[str, Deferred[re.Match[str]]]] = []
        argv = [sys.executable, *self._python_arguments(words), *more]
        self.process = reactor.spawnProcess(self, argv[0], argv, env=environment, path=str(cwd))

    def _python_arguments(self, words: list[str]) -> list[str]:
        if words[0] == "python":
            return words[1:]
        if words[0] == "twist":
            return ["-m", "twisted", *words[1:]]
        return ["-c", "from twisted.scripts.twistd import run; run()", *words[1:]]

    def type(self, line: str) -> None:
        """Type a line."""
        self.transport.write(f"{line}\n".encode())

    def kill(self) -> Deferred[tuple[int | None, int | None]]:
        """End it without warning; fires exit status and signal."""
        self.process.signalProcess("KILL")
        return self.ended

    def outReceived(self, data: bytes) -> None:
        self.out += data.decode()
        self._tell()

    def errReceived(self, data: bytes) -> None:
        self.err += data.decode()
        self._tell()

    def processEnded(self, reason: Failure) -> None:
        ended: Any = reason.value
        self.ended.callback((ended.exitCode, ended.signal))
        for _, waiting in self._waiting:
            waiting.errback(AssertionError(f"it has ended:\n{self.out}{self.err}"))

    def seen(self, pattern: str) -> Deferred[re.Match[str]]:
        """Fire the match once the regular expression is found in the output."""
        waiting: Deferred[re.Match[str]] = Deferred()
        self._waiting.append((pattern, waiting))
        self._tell()
        return waiting

    def interrupt(self) -> Deferred[tuple[int | None, int | None]]:
        """Do what Ctrl-C does; fires exit status and signal."""
        self.process.signalProcess("INT")
        return self.ended.addTimeout(TIMEOUT, reactor)

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for pattern, deferred in waiting:
            match = re.search(pattern, self.out + self.err)
            if match:
                deferred.callback(match)
            else:
                self._waiting.append((pattern, deferred))


async def item_seen(recorder: Recorder, item: str) -> None:
    """Wait until the event of an item was recorded."""
    while item not in [parts[-1] for parts in recorder.calls]:
        await recorder.wait(len(recorder.calls) + 1)


class ProgramTestCase(TestCase):
    timeout = 2 * TIMEOUT  # it starts programs

    def run_example(self, command: str, *more: str, cwd: Path = ROOT) -> Child:
        child = Child(command, *more, cwd=cwd)

        def end() -> Any:
            if child.process.pid is not None:
                child.process.signalProcess("KILL")
            return child.ended

        self.addCleanup(end)
        return child

    def folder(self) -> Path:
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        return folder

    async def subscribe(self, url: str, *channels: str) -> Recorder:
        """Record the messages of channels of a server that a child has started."""
        sub = await parse_url(url).endpoint(reactor).connect(ThoonkSubFactory())
        self.addCleanup(sub.close)
        recorder = Recorder()
        for channel in channels:
            await sub.register_handler(channel, recorder)
        return recorder

    async def stored(self, url: str, feed: str) -> list[str]:
        """Give the items of a feed of a server that an example has started."""
        pub = await parse_url(url).endpoint(reactor).connect(ThoonkPubFactory())
        self.addCleanup(pub.close)
        return list((await (await pub.feed(feed)).get_all()).values())

    def assert_stopped(self, url: str) -> None:
        """Check that nothing is left of the private server of a child."""
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
