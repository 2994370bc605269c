"""Helpers for the integration tests of commands."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.support import RedisTestCase
from txthoonk.errors import (
    ResponseError,
)


class CommandTestCase(RedisTestCase):
    """A test with a client that has the defaults of txredis."""

    async def setUp(self) -> None:
        await super().setUp()
        self.client = await self.redis()

    async def fails(self, deferred: Deferred[Any], code: str | None = None) -> ResponseError:
        """Wait for an error reply."""
        error: ResponseError = await self.assertFailure(deferred, ResponseError)
        if code is not None:
            self.assertEqual(error.code, code)
        return error
