"""A base for services that take time to stop."""

from __future__ import annotations

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed

from txthoonk._support._deferreds import also
from txthoonk._support._threads import check_thread

__all__ = ["StoppingService"]


class StoppingService(Service):
    """A service that stops with a coroutine.

    If it is started while it stops, it begins again once the stop is complete.
    """

    _stopping: Deferred[None] | None = None

    def startService(self) -> None:
        """Start, or start again once a stop that is under way is complete."""
        check_thread()
        if self.running:
            return
        super().startService()  # type: ignore[no-untyped-call]
        if self._stopping is None:
            self._begin()

    def stopService(self) -> Deferred[None]:
        """Stop.

        :return: fires None once the service has stopped; never fails.
        """
        check_thread()
        if not self.running:
            return succeed(None) if self._stopping is None else also(self._stopping)
        super().stopService()  # type: ignore[no-untyped-call]
        if self._stopping is not None:
            return also(self._stopping)
        stopping = self._stopping = Deferred()
        # _stop may finish synchronously: self._stopping must be set before.
        Deferred.fromCoroutine(self._stop()).chainDeferred(stopping)
        return also(stopping)

    async def _stop(self) -> None:
        await self._end()
        self._stopping = None
        if self.running:
            self._begin()

    def _begin(self) -> None:
        raise NotImplementedError

    async def _end(self) -> None:
        raise NotImplementedError
