"""The arguments of the ``thoonk`` command: option placement, help, completion and imports."""

from __future__ import annotations

import io
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
from click.shell_completion import ShellComplete
from twisted.trial.unittest import SynchronousTestCase

from txthoonk.cli import _main as cli
from txthoonk.cli._command import Where

PAGE = Path(__file__).resolve().parents[3] / "docs" / "cli.rst"


class ParseTests(SynchronousTestCase):
    def where(self, *words: str) -> Where:
        return cli._parsed(words)[0]

    def refused(self, *words: str) -> tuple[int, str]:
        """Parse bad arguments; return the exit status and the error output."""
        said = io.StringIO()
        self.patch(sys, "stderr", said)
        end = self.assertRaises(SystemExit, cli._parsed, words)
        return int(end.code), said.getvalue()

    def test_options_anywhere(self) -> None:
        """The options that name the server may precede the command, or follow it anywhere."""
        there = Where("redis://there", None, "ca.pem")
        for words in (
            ("--url", "redis://there", "--ca-file", "ca.pem", "item", "news", "1"),
            ("--url=redis://there", "item", "--ca-file", "ca.pem", "news", "1"),
            ("item", "news", "--url", "redis://there", "1", "--ca-file=ca.pem"),
            ("--url", "x", "--ca-file", "ca.pem", "item", "--url=redis://there", "news", "1"),
        ):
            self.assertEqual(self.where(*words), there)
        self.assertEqual(self.where("feeds", "--url-file", "x").url_file, "x")

    def test_variable(self) -> None:
        """``THOONK_URL`` applies without a URL option, and the default URL without either."""
        self.patch(os, "environ", {"THOONK_URL": "redis://variable"})
        self.assertEqual(self.where("feeds").read(), "redis://variable")
        self.assertEqual(self.where("feeds", "--url", "redis://x").read(), "redis://x")
        os.environ.clear()
        self.assertEqual(self.where("feeds").read(), "redis://localhost:6379/0")

    def test_both(self) -> None:
        """A URL and a URL file together are refused, in any place."""
        for words in (
            ("--url", "redis://x", "feeds", "--url-file", "y"),
            ("feeds", "--url-file", "y", "--url", "redis://x"),
        ):
            status, said = self.refused(*words)
            self.assertEqual(status, 2)
            self.assertIn("--url-file is not allowed with --url", said)

    def test_wrong_words(self) -> None:
        """Wrong usage gives one line that points to the help, and status 2."""
        for words, text in [
            ((), "Missing command. (see thoonk --help)"),
            (("publish",), "Missing argument 'FEED'. (see thoonk publish --help)"),
            (("insert", "news", "x", "--before"), "an argument. (see thoonk insert --help)"),
            (("feeds", "--url", ""), "--url is empty (see thoonk feeds --help)"),
            (("--url-file=", "feeds"), "--url-file is empty (see thoonk --help)"),
            (("history", "news", "--count", "x"), "'x' is not a valid integer"),
            (("items", "news", "more"), "unexpected extra argument (more)"),
            (("publish", "news", "-5"), "write -- before an argument that begins with a hyphen"),
        ]:
            status, said = self.refused(*words)
            self.assertEqual((status, said.count("\n")), (2, 1), said)
            self.assertIn(text, said)
            self.assertTrue(said.startswith("thoonk: "), said)

    def test_hyphen(self) -> None:
        """Words after ``--`` are arguments, not options."""
        _, call = cli._parsed(["publish", "news", "--", "-5"])
        self.assertEqual(call.run.keywords["item"], "-5")  # type: ignore[attr-defined]


class HelpTests(SynchronousTestCase):
    def function(self, line: str) -> str:
        """Parse a command line; return the name of the function that it calls."""
        call: Any = cli._parsed(shlex.split(line))[1]
        return str(call.run.func.__name__)

    def test_all(self) -> None:
        """The help of each command has a sentence, examples that parse, and the server options."""
        for name, command in cli.thoonk.commands.items():
            context = click.Context(command, info_name=name)
            shown = command.get_help(context)
            self.assertIn("--url URL", shown)
            self.assertIn("--timeout SECONDS", shown)
            self.assertFalse(command.get_short_help_str(64).endswith("..."), name)
            examples = re.findall(r"(?m)^  .*?\bthoonk (.*?)(?: < .*)?$", command.epilog or "")
            self.assertGreater(len(examples), 0, name)
            for example in examples:
                self.assertEqual(self.function(example).removesuffix("_"), name)

    def test_page(self) -> None:
        """The documentation page lists exactly the existing commands."""
        shown = PAGE.read_text("utf-8")
        listed = [
            line.split("``")[1].split()[1]
            for line in shown.splitlines()
            if line.startswith("   * - ``thoonk ")
        ]
        self.assertEqual(sorted(listed), sorted(cli.thoonk.commands))

    def test_completion(self) -> None:
        """A shell is offered the commands and options that match."""
        complete = ShellComplete(cli.thoonk, {}, "thoonk", cli.COMPLETION)
        for words, begun, expected in [
            ([], "f", {"feeds", "finish", "failures"}),
            (["--url", "redis://x"], "re", {"retract", "resume", "result", "retry"}),
            (["items", "news"], "--j", {"--json"}),
            (["watch"], "--s", {"--since", "--snapshot"}),
        ]:
            offered = {item.value for item in complete.get_completions(words, begun)}
            self.assertEqual(offered, expected)


class ImportTests(SynchronousTestCase):
    def loaded(self, module: str) -> set[str]:
        """Import a module in a process of its own; return which libraries that loads."""
        program = f"import sys, {module}; print(*{{'click', 'rich'}} & set(sys.modules))"
        return set(subprocess.check_output([sys.executable, "-c", program], text=True).split())

    def test_library(self) -> None:
        """Importing the library does not load the libraries of the command line."""
        self.assertEqual(self.loaded("txthoonk, txthoonk.testing, txthoonk.tap.worker"), set())

    def test_command(self) -> None:
        """Importing the command line does not load rich, which only ``thoonk top`` needs."""
        self.assertEqual(self.loaded("txthoonk.cli"), {"click"})

    def test_interrupted(self) -> None:
        """Ctrl-C while Python imports the package ends the command without a traceback."""
        program = """
import os, signal, sys
class Interrupt:
    def find_spec(name, path, target=None):
        if name == "txthoonk":
            os.kill(os.getpid(), signal.SIGINT)
signal.signal(signal.SIGINT, signal.{handler})
from _txthoonk_command import main
sys.meta_path.insert(0, Interrupt)  # not before: coverage looks for the package, too
main()
"""
        for handler, status in (("default_int_handler", -signal.SIGINT), ("SIG_IGN", 0)):
            words = [sys.executable, "-c", program.format(handler=handler), "--version"]
            ended = subprocess.run(words, capture_output=True, text=True)
            self.assertEqual((ended.returncode, ended.stderr), (status, ""))
