"""The parts that the steps of all machines use.

Numbers stand for ids, items and claims: each verb takes them modulo the number that exist.
"""

from __future__ import annotations

from hypothesis import strategies as st

from tests.model.clients import Cut
from tests.model.verbs import Verb

__all__ = ["CLIENTS", "CUTS", "HISTORIES", "NUMBERS", "SELDOM", "batches", "weighted"]

CLIENTS = st.integers(0, 2)
NUMBERS = st.integers(0, 11)
SELDOM = st.integers(0, 3).map(lambda number: number == 3)
HISTORIES = st.sampled_from([100, 3, 0])
CUTS = st.builds(
    Cut,
    st.sampled_from(["kill", "kill", "deaf", "deaf", "race", "abort", "before"]),
    st.integers(0, 4),
)


def batches(verbs: st.SearchStrategy[Verb]) -> st.SearchStrategy[list[Verb]]:
    """Make some verbs that are called back to back."""
    return st.lists(verbs, min_size=1, max_size=4)


def weighted(*choices: tuple[int, st.SearchStrategy[Verb]]) -> st.SearchStrategy[Verb]:
    """Choose among strategies, each with its weight."""
    all_ = [choice for weight, choice in choices for _ in range(weight)]
    return st.integers(0, len(all_) - 1).flatmap(all_.__getitem__)
