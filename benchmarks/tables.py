"""Tables: as plain text, Markdown and reST."""

from __future__ import annotations

import attr

__all__ = ["Table", "markdown", "plain", "rest"]


@attr.frozen
class Table:
    """A table; the first column is text, the others are aligned to the right.

    :ivar note: a paragraph before the table.
    """

    title: str
    head: list[str]
    rows: list[list[str]]
    note: str = ""


def plain(table: Table) -> str:
    widths = widths_of([table.head, *table.rows])
    rows = (_row(row, widths).rstrip() for row in [table.head, *table.rows])
    return "\n".join([table.title, *([table.note] if table.note else []), "", *rows])


def markdown(table: Table) -> str:
    head, *rows = (f"| {' | '.join(row)} |" for row in [table.head, *table.rows])
    rule = f"|---|{'---:|' * (len(table.head) - 1)}"
    note = [table.note, ""] if table.note else []
    return "\n".join([f"## {table.title}", "", *note, head, rule, *rows])


def rest(table: Table) -> str:
    """Return a section; dashes underline its title."""
    rows = [[as_rest(cell) for cell in row] for row in [table.head, *table.rows]]
    for row in rows:
        row[0] = row[0] or "\\"  # else it would be joined to the one before
    widths = widths_of(rows)
    rule = "  ".join("=" * width for width in widths)
    head, *others = (_row(row, widths).rstrip() for row in rows)
    title = [table.title, "-" * len(table.title), ""]
    note = [table.note, ""] if table.note else []
    return "\n".join([*title, *note, rule, head, rule, *others, rule])


def as_rest(cell: str) -> str:
    return "\\-" if cell == "-" else cell  # which is no list


def widths_of(rows: list[list[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def _row(row: list[str], widths: list[int]) -> str:
    first, *others = zip(row, widths, strict=True)
    cells = [f"{first[0]:{first[1]}}", *(f"{cell:>{width}}" for cell, width in others)]
    return "  ".join(cells)
