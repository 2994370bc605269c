"""Imports only go down, in the order of packages in ``docs/architecture.rst``."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import txthoonk

PACKAGE = Path(txthoonk.__file__).parent
PAGE = PACKAGE.parent / "docs" / "architecture.rst"

#: Thin modules that keep public import paths; they only import the names that they export.
FACADES = {"__init__", "maintenance", "metrics", "mirror", "_version"}


def order() -> list[str]:
    """Return the packages and modules of the page's table, the lowest first."""
    section = PAGE.read_text("utf-8").partition("\nPackages\n---")[2]
    return re.findall(r"(?m)^``(\w+)`` ", section.partition("\nA publish\n---")[0])


def modules() -> Iterator[tuple[tuple[str, ...], ast.Module]]:
    """Parse every module below ``txthoonk`` except the facades."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[-1] != "__init__" and parts[0] not in FACADES:
            yield parts, ast.parse(path.read_text("utf-8"))


def imported(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield the top packages that a module imports, including imports for type checking."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "txthoonk":
            names = (node.module or "").split(".")[1:2] or [one.name for one in node.names]
            yield from ((name, node.lineno) for name in names if name != "__version__")
        elif isinstance(node, ast.Import):
            for one in node.names:
                if one.name.startswith("txthoonk."):
                    yield one.name.split(".")[1], node.lineno


class ImportTests(SynchronousTestCase):
    """A package imports only from packages below it."""

    def test_page_has_all(self) -> None:
        """The table has every package and every module beside them once."""
        found = {
            path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()
        } - {*FACADES, "py", "__pycache__"}
        self.assertEqual(sorted(order()), sorted(found))

    def test_down_only(self) -> None:
        """No module imports from a package above its own."""
        level = {name: at for at, name in enumerate(order())}
        wrong = []
        for parts, tree in modules():
            for name, line in imported(tree):
                if name not in FACADES and level[name] > level[parts[0]]:
                    wrong.append(f"{'.'.join(parts)}:{line} imports {name}, which is above it")
        self.assertEqual(wrong, [])
