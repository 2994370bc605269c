"""Helpers for the integration tests of ``readme``."""

from __future__ import annotations

from tests.support.docs_blocks import blocks as all_blocks


def blocks(document: str) -> list[str]:
    """Give the Python blocks of a document, each as a text of its own."""
    return [block.text for block in all_blocks(document) if block.language == "python"]
