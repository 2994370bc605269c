"""How ``twist thoonk-worker`` finds its handler."""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path

from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from txthoonk.tap import worker
from txthoonk.types import Claim


def parsed(*words: str) -> worker.Options:
    """Parse the words of a command line, with no variables set."""
    options = worker.Options({})
    options.parseOptions(["--job", "a", *words])
    return options


class HandlerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        self.patch(os, "getcwd", lambda: str(self.folder))
        self.patch(sys, "path", [path for path in sys.path if path])
        modules = set(sys.modules)
        self.addCleanup(lambda: [sys.modules.pop(name) for name in set(sys.modules) - modules])

    def write(self, path: str, text: str) -> None:
        file = self.folder / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)

    def refused(self, name: str) -> str:
        return str(self.assertRaises(UsageError, parsed, "--handler", name))

    def test_found_here(self) -> None:
        """A module of the current directory comes before others, and stays importable."""
        self.write(
            "tap_tasks.py", "def work(claim):\n    import tap_later\n    return tap_later\n"
        )
        self.write("tap_later.py", "")
        self.write("colorsys.py", "def ours(claim): pass\n")  # the standard library has one, too
        sys.modules.pop("colorsys", None)
        self.assertEqual(worker.load_handler("tap_tasks.work")(None).__name__, "tap_later")
        self.assertEqual(worker.load_handler("colorsys.ours").__name__, "ours")
        self.assertEqual(sys.path.count(str(self.folder)), 1)

    def test_not_found_here(self) -> None:
        """The current directory is not searched if Python's safe path is on."""
        self.write("tap_tasks.py", "def work(claim): pass\n")
        flags = types.SimpleNamespace(safe_path=True)
        self.patch(worker, "sys", types.SimpleNamespace(flags=flags, path=sys.path))
        self.assertRegex(self.refused("tap_tasks.work"), "No module named 'tap_tasks'")

    def test_inside_of_an_object(self) -> None:
        """The name after a colon may be an attribute at any depth."""
        self.write("tap_package/__init__.py", "")
        self.write(
            "tap_package/tasks.py",
            "class Tasks:\n    @staticmethod\n    def work(claim): return 1\n",
        )
        work = worker.load_handler("tap_package.tasks:Tasks.work")
        self.assertEqual(work(None), 1)
        self.assertEqual(
            self.refused("tap_package.tasks.Tasks.work"),
            "--handler: No module named 'tap_package.tasks.Tasks'; 'tap_package.tasks' is not a "
            "package (write module:object.attribute for an attribute of an object)",
        )

    def test_refused(self) -> None:
        """A handler that is missing or not callable is an error that names the place searched."""
        self.write("tap_tasks.py", "number = 3\n")
        for name, text in [
            ("", "'' does not have the form package.module.function"),
            ("work", "'work' does not have the form"),
            ("tap_tasks:", "does not have the form"),
            ("tap tasks.work", "does not have the form"),
            ("tap_tasks.work", rf"no attribute 'work' \(in {self.folder}/tap_tasks.py\)"),
            ("tap_tasks.number", "'tap_tasks.number' cannot be called: its type is 'int'"),
            (
                "tap_nowhere.tasks.work",
                rf"'tap_nowhere' in the current directory \({self.folder}\) or on PYTHONPATH",
            ),
        ]:
            self.assertRegex(self.refused(name), f"^--handler: .*{text}")

    def test_what_failed(self) -> None:
        """A failing import of the handler's module is an error with the module's traceback."""
        self.write("tap_missing.py", "import tap_nothing_like_it\n")
        self.write("tap_raises.py", "def f():\n    raise ValueError('oh')\n\nf()\n")
        self.write("tap_syntax.py", "def f(:\n")
        self.write("tap_exits.py", "import sys\nsys.exit(3)\n")
        for name, frames, error in [
            ("tap_missing", 1, "ModuleNotFoundError: No module named 'tap_nothing_like_it'"),
            ("tap_raises", 2, "ValueError: oh"),
            ("tap_syntax", 1, "SyntaxError: "),
            ("tap_exits", 1, "SystemExit: 3"),
        ]:
            first, *lines = self.refused(f"{name}.work").splitlines()
            self.assertEqual(first, f"--handler: importing '{name}' failed:")
            self.assertRegex(lines[0], rf'  File "{self.folder}/{name}.py", line \d')
            self.assertEqual(len([line for line in lines if "  File " in line]), frames)
            self.assertTrue(lines[-1].startswith(error), lines)

    def test_coroutine_in_a_thread(self) -> None:
        """A coroutine function as a handler cannot run in a thread."""
        self.write("tap_tasks.py", "async def work(claim): pass\n")
        words = ["--handler", "tap_tasks.work"]
        parsed(*words)
        refused = self.assertRaises(UsageError, parsed, *words, "--in-thread")
        self.assertRegex(str(refused), "coroutine function .* omit --in-thread")

    def test_by_name(self) -> None:
        """A dict of names to handlers can be given, and the field that has the name."""
        self.write("tap_named.py", "handlers = {'send': lambda claim: f'sent {claim.id}'}\n")
        handler = parsed("--handler", "tap_named.handlers", "--key", "do")["handler"]
        self.assertEqual(handler(Claim("a", {"do": "send"}, 0)), "sent a")
        self.write("tap_wrong.py", "handlers = {'send': 5}\n")
        self.assertIn("a handler must be callable: 5", self.refused("tap_wrong.handlers"))

    def test_time_limits(self) -> None:
        """Time limits that cannot be used are refused."""
        self.write("tap_limited.py", "def work(claim): pass\n")
        words = ["--handler", "tap_limited.work"]
        parsed(*words, "--time-limit", "5", "--soft-time-limit", "4")
        for more, error in (
            (["--time-limit", "0"], "time_limit must be above 0"),
            (["--time-limit", "5", "--soft-time-limit", "5"], "soft_time_limit must be below"),
            (["--in-thread", "--soft-time-limit", "5"], "cannot be interrupted"),
        ):
            self.assertRegex(str(self.assertRaises(UsageError, parsed, *words, *more)), error)
