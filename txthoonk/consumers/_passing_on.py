"""Passing on the results that one publisher hears of, to others that hear of their own jobs only.

See :mod:`txthoonk.consumers._result_waiters`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred

from txthoonk.errors import ThoonkError

__all__ = ["MOST_HEARD", "MOST_IDS", "PassingOn"]

MOST_IDS = 500  # in one call
MOST_HEARD = 5000  # results that are held until it is known whether others want them


class PassingOn:
    """See the module.

    :ivar heard: id -> result, as far as it is not known yet whether others want them: at most
        :data:`MOST_HEARD`.
    :ivar busy: whether others are being asked what they want.

    :param call: calls ``job/pass_on`` with ids and results; fires the ids that are wanted.
    """

    def __init__(self, call: Callable[[Mapping[str, bytes | None]], Deferred[list[str]]]) -> None:
        self._call = call
        self.heard: dict[str, bytes] = {}
        self.busy = False

    def begin(self) -> None:
        """Pass on what is heard, until nothing is left."""
        self.busy = True
        passing: Deferred[Any] = Deferred.fromCoroutine(self._pass_on())
        passing.addErrback(lambda reason: reason.trap(ThoonkError))

    async def _pass_on(self) -> None:
        """Tell others what they want of what was heard."""
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
