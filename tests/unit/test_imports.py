"""Imports only go down, in the order of ``docs/architecture.rst``, and never in a circle.

Modules form a circle if each imports the next and the last imports the first. You cannot read or
change one of them without the others. Imports for type checking count. To break a circle, state
what the lower module needs as a ``typing.Protocol`` in ``_interfaces.py``, or pass it the objects
that it needs.
"""

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
    """Parse every module of ``txthoonk``."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        yield parts, ast.parse(path.read_text("utf-8"))


def imported(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield the full names that a module imports, including imports for type checking."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "txthoonk":
            yield from ((f"{node.module}.{one.name}", node.lineno) for one in node.names)
        elif isinstance(node, ast.Import):
            for one in node.names:
                if one.name.startswith("txthoonk."):
                    yield one.name, node.lineno


def graph() -> dict[str, list[str]]:
    """Return the modules that each module imports."""
    trees = {
        ".".join(("txthoonk", *parts)).removesuffix(".__init__"): tree for parts, tree in modules()
    }
    return {
        module: sorted(
            {name if name in trees else name.rpartition(".")[0] for name, _ in imported(tree)}
        )
        for module, tree in trees.items()
    }


def circles(imports: dict[str, list[str]]) -> list[list[str]]:
    """Follow all imports. Return the chains that end where they begin.

    Of circles that share modules, this finds at least one.
    """
    found: list[list[str]] = []
    seen: set[str] = set()

    def visit(module: str, chain: list[str]) -> None:
        if module in chain:
            found.append([*chain[chain.index(module) :], module])
        elif module not in seen:
            seen.add(module)
            for name in imports[module]:
                visit(name, [*chain, module])

    for module in imports:
        visit(module, [])
    return found


class ImportTests(SynchronousTestCase):
    """A package imports only from packages below it, and modules form no circle."""

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
            if parts[-1] == "__init__" or parts[0] in FACADES:
                continue
            for full_name, line in imported(tree):
                name = full_name.split(".")[1]
                if name not in {*FACADES, "__version__"} and level[name] > level[parts[0]]:
                    wrong.append(f"{'.'.join(parts)}:{line} imports {name}, which is above it")
        self.assertEqual(wrong, [])

    def test_no_circles(self) -> None:
        """No module imports itself by way of other modules."""
        self.assertEqual([" -> ".join(chain) for chain in circles(graph())], [])

    def test_finds_circles(self) -> None:
        """A chain has only the modules of the circle, not those that lead to it."""
        imports = {"a": ["b", "d"], "b": ["c"], "c": ["d", "b"], "d": []}
        self.assertEqual(circles(imports), [["b", "c", "b"]])
