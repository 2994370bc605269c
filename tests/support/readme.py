"""Helpers for the integration tests of the README."""

from __future__ import annotations

from tests.support.docs_blocks import blocks as all_blocks


def blocks(document: str) -> list[str]:
    """Return the text of each Python block of a document."""
    return [block.text for block in all_blocks(document) if block.language == "python"]
