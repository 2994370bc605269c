"""Passes on results from a publisher that listens to all jobs to those that listen to some.

See :mod:`txthoonk.consumers.results._result_waiters`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred

from txthoonk.errors import ThoonkError

__all__ = ["MOST_HEARD", "MOST_IDS", "PassingOn"]

MOST_IDS = 500  # in one call
MOST_HEARD = 5000  # results to keep until it is known whether others wait for them


class PassingOn:
    """Passes on the results of the jobs of one feed.

    :ivar heard: id -> result, of results that others may wait for; at most :data:`MOST_HEARD`.
    :ivar busy: whether it is passing on results now.

    :param call: calls ``job/pass_on`` with ids and results; fires the ids that are wanted.
    """

    def __init__(self, call: Callable[[Mapping[str, bytes | None]], Deferred[list[str]]]) -> None:
        self._call = call
        self.heard: dict[str, bytes] = {}
        self.busy = False

    def begin(self) -> None:
        """Pass results on until none is left."""
        self.busy = True
        passing: Deferred[Any] = Deferred.fromCoroutine(self._pass_on())
        passing.addErrback(lambda reason: reason.trap(ThoonkError))

    async def _pass_on(self) -> None:
        """Pass on the results that others wait for."""
        try:
            while self.heard:
                some = dict(itertools.islice(self.heard.items(), MOST_IDS))
                for id_ in some:
                    del self.heard[id_]
                wanted = await self._call(dict.fromkeys(some))
                if wanted:
                    await self._call({id_: some[id_] for id_ in wanted if id_ in some})
        finally:
            self.busy = False
