"""One test method for each verb."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

from tests.faults.verbs import VERBS, Verb

__all__ = ["each_verb"]

Case = TypeVar("Case", bound=type)


def each_verb(**methods: Callable[[Any, Verb], Any]) -> Callable[[Case], Case]:
    """Give a test case a method for each verb and each of *methods*.

    Its name is ``test_[name]__[verb]``, and it awaits ``method(test, verb)``.
    """

    def add(case: Case) -> Case:
        for name, method in methods.items():
            for verb in VERBS:
                setattr(case, f"test_{name}__{_identifier(verb.name)}", _test(method, verb))
        return case

    return add


def _test(method: Callable[[Any, Verb], Any], verb: Verb) -> Any:
    async def test(self: Any) -> None:
        await method(self, verb)

    test.__doc__ = f"{verb.name}: {method.__doc__}"
    return test


def _identifier(text: str) -> str:
    return re.sub(r"\W+", "_", text).strip("_")
