"""Runs a page of README and docs: all of its code blocks.

A page is a story: its blocks run from top to bottom, in one folder and with one Redis.

- ``python``: a fragment, which may ``await``; ``thoonk`` is a connected service, names are kept
  from one block to the next, and the comment after ``print`` is the output.  With a
  ``:caption:``, or the comment ``.. file: NAME`` before it: a file of that name.
- ``console``: commands after ``$``, and their output.  They run as typed, in a shell that has the
  installed package on its PATH.  With the comment ``.. terminal: NAME``
  before it: a program that keeps running, in a terminal of that name; a later block of the same
  terminal has its next output, and ``^C`` ends it.
- Other languages are parsed, if the standard library has a parser.
- The comment ``.. hidden``, with an indented body: Python that readers need not see.  It has
  ``printed``, the output since the last visible block began, and ``here(url)``, the URL that
  replaces one of the page.

In outputs ``...`` stands for anything, and ids, times and dates for others of their kind.
"""

from __future__ import annotations

import ast
import configparser
import inspect
import json
import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from tests.support.children import Child
from tests.support.docs_blocks import ROOT, Block

TIMEOUT = 60.0  # seconds that a program may take for its next output, or for its end

# -- outputs ------------------------------------------------------------------------------------

# What differs between runs: as the document shows it, and what the output may have there.
_VARIABLE = (
    (r"\.\.\.", r"(?s:.*?)"),
    (r"\t|  +", r"[ \t]+"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[\d.,]*(?:Z|[+-]\d{4})?", r"[\dTZ:.,+ -]+"),
    (r"\b[0-9a-f]{32}\b", r"[0-9a-f]{32}"),
    (r"\b[0-9a-f]{16}\b", r"[0-9a-f]{16}"),
    (r"\b\d\d:\d\d:\d\d\b", r"\d\d:\d\d:\d\d"),
    (r"\b\d+\.\d+ ?s\b", r"\d+\.\d+ ?s"),
)
_ANY_VARIABLE = re.compile("|".join(f"({shown})" for shown, _ in _VARIABLE))


def pattern(expected: str) -> str:
    """Return the regular expression for an output that a document shows."""
    made, at = "", 0
    for match in _ANY_VARIABLE.finditer(expected):
        assert match.lastindex is not None
        made += re.escape(expected[at : match.start()]) + _VARIABLE[match.lastindex - 1][1]
        at = match.end()
    return made + re.escape(expected[at:])


def _shows(expected: str, output: str) -> bool:
    return re.fullmatch(pattern(expected), output.strip("\n")) is not None


# -- programs -----------------------------------------------------------------------------------


class Program(Child):
    """A running command, whose output can be waited for."""

    def __init__(self, command: str, folder: Path, environment: dict[str, str]) -> None:
        super().__init__()
        self.command = command
        self.output = ""
        self.spawn("bash", "-c", command, env=environment, path=str(folder))

    def outReceived(self, data: bytes) -> None:
        self.output += data.decode()
        super().outReceived(data)

    def errReceived(self, data: bytes) -> None:
        self.output += data.decode()
        super().errReceived(data)

    def outcome(self, ended: Any) -> int | None:
        status: int | None = ended.exitCode
        return status

    def unlike(self, text: str) -> AssertionError:
        """Return the error for a different output."""
        return AssertionError(f"{self.command!r} printed\n{self.output}\nand not\n{text}")

    async def prints(self, text: str) -> None:
        """Wait until the whole output is *text*."""

        def late(*_: object) -> None:
            raise self.unlike(text)

        shown = self.wait(lambda: _shows(text, self.output) or None)
        try:
            await shown.addTimeout(TIMEOUT, reactor, late)
        except AssertionError:
            raise self.unlike(text) from None

    def ends(self, signal: str | None = None) -> Deferred[Any]:
        """Wait for the end of the program; fires its exit status.

        :param signal: is sent to the program first.
        """
        if signal is not None:
            self.signal(signal)
        return self.ended.addTimeout(TIMEOUT, reactor)


def _commands(text: str) -> list[tuple[str, str]]:
    """Return the commands of a console block, each with its output."""
    found = []
    for part in re.split(r"(?m)^\$ ", text)[1:]:
        lines = part.split("\n")
        last = next(at for at, line in enumerate(lines) if not line.endswith("\\"))
        output = "\n".join(lines[last + 1 :])
        found.append(("\n".join(lines[: last + 1]), output.strip("\n")))
    return found


def _environment(url: str) -> dict[str, str]:
    """Return the environment of somebody who has installed txthoonk and activated its venv.

    The default Redis is that of this run. Output goes to a pipe, and must come as at a terminal.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "THOONK"))
    }
    scripts = os.path.dirname(sys.executable)
    path = f"{scripts}{os.pathsep}{os.environ['PATH']}"
    return {**inherited, "PATH": path, "THOONK_URL": url, "PYTHONUNBUFFERED": "1"}


# -- pages --------------------------------------------------------------------------------------


class Story:
    """Runs the blocks of a page.

    :param folder: an empty folder.
    :param skipped: regular expressions of commands that are not run.
    """

    def __init__(self, thoonk: Any, folder: Path, skipped: Iterable[str]) -> None:
        self._folder = folder
        self._url = thoonk.url
        self._skipped = re.compile("|".join(skipped))
        self._terminals: dict[str, tuple[Program, str]] = {}
        self._printed: list[str] = []
        self._names: dict[str, Any] = {
            "thoonk": thoonk,
            "print": lambda *words: self._printed.append(" ".join(map(str, words))),
            "printed": self._printed,
            "here": self._here_too,
        }
        self._environment = _environment(self._url)

    async def run(self, block: Block) -> None:
        """Run a block according to its language and marks."""
        if block.file is not None:
            (self._folder / block.file).write_text(self._here(block.text) + "\n")
        elif block.language in ("python", "hidden"):
            await self._run_python(block)
        elif block.terminal is not None:
            await self._go_on(block, block.terminal)
        elif block.language == "console":
            await self._run_console(block)
        elif block.language == "literalinclude":
            self._check_included(block)
        elif block.language in _PARSERS:
            _PARSERS[block.language](block.text)
        else:
            raise AssertionError(f"{block.place}: neither run nor in the list of exceptions")

    def _check_included(self, block: Block) -> None:
        """Check that an included file is an example: the tests of the examples run it."""
        path = (ROOT / block.document).parent / block.text
        if not path.is_file() or ROOT / "examples" not in path.resolve().parents:
            raise AssertionError(f"{block.place}: {block.text} is no example")

    def _here(self, text: str) -> str:
        """Return a text with the Redis of this run."""
        return text.replace("redis://localhost:6379/0", self._url)

    def _here_too(self, text: str) -> str:
        """Return a text for this process, which does not run in the folder of the page."""
        return self._here(text).replace("embedded:./", f"embedded:{self._folder}/")

    async def _run_python(self, block: Block) -> None:
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile("\n" * block.line + block.text, block.document, "exec", flags)
        seen = block.language != "hidden"
        if seen:
            self._printed.clear()
        running = eval(code, self._names)  # noqa: S307  (our own documents)
        if inspect.isawaitable(running):
            await running
        expected = re.findall(r"^ *print\(.*\)  # (.*)", block.text, re.M)
        if seen and not _shows("\n".join(expected), "\n".join(self._printed)):
            raise AssertionError(f"{block.place} printed {self._printed}, not {expected}")

    async def _run_console(self, block: Block) -> None:
        commands = _commands(block.text)
        if not commands or not block.text.startswith("$ "):
            raise AssertionError(f"{block.place}: a console begins with a command, after '$ '")
        for command, expected in commands:
            if self._skipped.match(command):
                continue
            status, output = await self._run_command(self._here(command))
            if status != 0 or not _shows(self._here(expected), output):
                raise AssertionError(
                    f"{block.place}: {command!r} ended with {status} and printed\n{output}\n"
                    f"and not\n{expected}"
                )

    async def _run_command(self, command: str) -> tuple[int, str]:
        """Run a command to its end; return its status and its output."""
        program = self._start(command)
        return await program.ends(), program.output

    def _start(self, command: str) -> Program:
        return Program(command, self._folder, self._environment)

    async def _go_on(self, block: Block, name: str) -> None:
        """Start a program in a terminal, check its output so far, or end it."""
        text = block.text
        if text.startswith("$ "):
            ((command, text),) = _commands(text)
            self._terminals[name] = (self._start(f"exec {self._here(command)}"), "")
        program, before = self._terminals[name]
        expected, ends, _ = text.partition("^C")
        whole = "\n".join(filter(None, [before, self._here(expected).strip("\n")]))
        self._terminals[name] = (program, whole)
        await program.prints(whole)
        if ends:
            await program.ends("INT")
            del self._terminals[name]

    async def end(self) -> None:
        """End all programs, the last one first."""
        while self._terminals:
            name = list(self._terminals)[-1]
            await self._terminals[name][0].ends("INT")
            del self._terminals[name]

    async def kill(self) -> None:
        """Kill all programs that still run."""
        for program, _ in self._terminals.values():
            await program.ends("KILL")


def _read_ini(text: str) -> None:
    configparser.RawConfigParser(strict=False).read_string(text)


def _read_variables(text: str) -> None:
    for line in text.splitlines():
        assert re.fullmatch(r"[A-Z_]+=\S*", line), line


_PARSERS: dict[str, Callable[[str], object]] = {
    "ini": _read_ini,
    "json": json.loads,
    "sh": _read_variables,
}
