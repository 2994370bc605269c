"""The code blocks of README and docs: their places and marks.

``tests/support/docs.py`` describes the marks, and how blocks are tested.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import attr

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = (
    "README.rst",
    *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.rst")),
)

DIRECTIVE = re.compile(r"( *)\.\. ([\w:-]+)::(?: +(.*))?$")
COMMENT = re.compile(r"( *)\.\. (hidden|file|terminal)(?:: (.*))?$")
OPTION = re.compile(r" +:(\w+):(?: +(.*))?$")

# Other directives that show code. They are refused, so that no block is overlooked.
FOREIGN = ("code", "sourcecode", "parsed-literal", "doctest", "testcode", "prompt", "raw")


@attr.frozen
class Block:
    """A code block.

    :ivar language: empty for a literal block; or ``literalinclude``, or ``hidden``.
    :ivar file: the name of the file that the block contains.
    :ivar terminal: the terminal that it continues.
    """

    document: str
    line: int
    language: str
    text: str
    file: str | None = None
    terminal: str | None = None

    @property
    def place(self) -> str:
        return f"{self.document}:{self.line}"


def blocks(document: str, text: str | None = None) -> list[Block]:
    """Return all code blocks of a document, including the hidden ones.

    :param text: the document; None: it is read.
    """
    text = (ROOT / document).read_text("utf-8") if text is None else text
    return list(_Reader(document, text).blocks())


class _Reader:
    def __init__(self, document: str, text: str) -> None:
        self._document = document
        self._lines = text.splitlines()
        self._at = 0
        self._notes: dict[str, str] = {}

    def blocks(self) -> Iterator[Block]:
        while self._at < len(self._lines):
            line = self._lines[self._at]
            self._at += 1
            comment, directive = COMMENT.match(line), DIRECTIVE.match(line)
            if comment and comment[2] == "hidden":
                yield self._block("hidden", _indent(line))
            elif comment:
                self._notes[comment[2]] = comment[3]
            elif directive:
                yield from self._directive(directive[2], directive[3], _indent(line))
            elif line.endswith("::") and not line.lstrip().startswith(".. "):
                yield self._block("", _indent(line))
            elif line.lstrip().startswith(">>> "):
                raise AssertionError(f"{self._document}:{self._at}: use code-block")

    def _directive(self, name: str, argument: str, indent: int) -> Iterator[Block]:
        if name == "code-block":
            yield self._block(argument, indent)
        elif name == "literalinclude":
            yield Block(self._document, self._at, name, argument)
        elif name in FOREIGN:
            raise AssertionError(f"{self._document}:{self._at}: use code-block, not {name}")

    def _block(self, language: str, indent: int) -> Block:
        begin = self._at
        while option := OPTION.match(self._line()):
            if option[1] == "caption":
                self._notes["file"] = option[2]
            self._at += 1
        body = []
        while self._at < len(self._lines) and (
            not self._line().strip() or _indent(self._line()) > indent
        ):
            body.append(self._line())
            self._at += 1
        notes, self._notes = self._notes, {}
        text = textwrap.dedent("\n".join(body)).strip("\n")
        return Block(self._document, begin, language, text, **notes)

    def _line(self) -> str:
        return self._lines[self._at] if self._at < len(self._lines) else ""


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
