"""Runs asyncio code in a test of Twisted."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.trial.unittest import SkipTest

__all__ = ["run"]

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a loop of its own, as a program does; at most for 60 seconds.

    :raises SkipTest: if the reactor of the tests has a loop in this thread already.
    """

    async def limited() -> T:
        async with asyncio.timeout(60):
            return await coroutine

    try:
        return asyncio.run(limited())
    except RuntimeError as error:
        if "running event loop" not in str(error):
            raise
        coroutine.close()
        raise SkipTest("the reactor has a loop already") from None
