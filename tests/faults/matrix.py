"""The page of verbs and faults, generated from the cells that the tests assert.

::

    python -m tests.faults.matrix > docs/faults.rst   # the page, from outcomes.json
    python -m tests.faults.matrix --observe           # runs the tests, and writes both
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.faults.outcomes import FAULTS, OBSERVE, WORDS, Fault, read_cells
from tests.faults.verbs import VERBS, Verb

__all__ = ["PAGE", "render"]

PAGE = Path(__file__).parents[2] / "docs" / "faults.rst"

HEAD = """\
.. Made by "python -m tests.faults.matrix" from what the tests assert: do not edit.

Every verb, every fault
=======================

This page shows what each :term:`verb` of the API does when its connection or the server fails. A
test asserts each outcome below on every run of the test suite (``tests/faults``), on Redis 6.2 and
7. It compares the whole database and all events with those before the call, and with those of an
undisturbed call.

A proxy (``tests/support/proxy.py``) cuts connections after a number of bytes. The test suite cuts
each request and each reply of each verb near both ends, and at some places in between;
``make faults`` cuts after every byte.

Outcomes
--------

"""

FAULTS_HEAD = """
After the outcome follows the class of the error that the Deferred fails with. Several outcomes
with slashes mean that it depends on the moment. A fault that happens after the call has ended, and
delays only later messages, changes nothing and is not listed.

The faults
----------

"""


def render() -> str:
    """Return the page."""
    cells = read_cells()
    parts = [HEAD, _definitions(WORDS.items()), FAULTS_HEAD]
    parts.append(_definitions((fault.title, fault.about) for fault in FAULTS))
    for title, faults in _tables():
        parts += [f"\n{title}\n{'-' * len(title)}\n\n", *_table(cells, faults)]
    return "".join(parts)


def _definitions(items: Iterable[tuple[str, str]]) -> str:
    return "".join(f"{_term(word)}\n    {meaning}.\n" for word, meaning in items)


def _term(word: str) -> str:
    return f"\\{word}" if word.startswith("-") else word  # otherwise it would be an option list


def _tables() -> list[tuple[str, list[Fault]]]:
    """Return the tables; the columns of one would be too wide for a page."""
    by_key = {fault.key: fault for fault in FAULTS}
    cuts = ["request/bare", "reply/bare", "request/thoonk", "reply/thoonk"]
    absent = ["away", "back", "stall/request", "stall/reply"]
    slow = ["bytes", "halves", "delay"]
    server = [key for key in by_key if key not in {*cuts, *absent, *slow}]
    groups = {
        "The connection is cut": cuts,
        "There is no connection, or it is silent": absent,
        "The connection is slow": slow,
        "The server refuses": server[:6],
        "The server is impaired": server[6:],
    }
    return [(title, [by_key[key] for key in keys]) for title, keys in groups.items()]


def _table(cells: dict[str, dict[str, str]], faults: list[Fault]) -> Iterable[str]:
    yield ".. list-table::\n   :header-rows: 1\n\n"
    yield _row("verb", [fault.title for fault in faults])
    for verb in VERBS:
        yield _row(verb.name, [_cell(cells, verb, fault) for fault in faults])


def _row(first: str, others: list[str]) -> str:
    return "".join(
        f"   {'*' if not n else ' '} - {text}\n" for n, text in enumerate([first, *others])
    )


def _cell(cells: dict[str, dict[str, str]], verb: Verb, fault: Fault) -> str:
    return cells.get(verb.name, {}).get(fault.key, "")


def main(arguments: list[str]) -> int:
    """Write the page to standard output, or run the tests and write the page to its file."""
    if "--observe" not in arguments:
        sys.stdout.write(render())
        return 0
    environment = {**os.environ, OBSERVE: "1"}
    command = [sys.executable, "-m", "twisted.trial", "tests.faults"]
    status = subprocess.run(command, env=environment, check=False).returncode
    PAGE.write_text(render())
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
