"""Time limits of handlers: the soft one cancels the handler, the hard one ends the claim."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from types import CoroutineType, coroutine
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from txthoonk.wire._checks import check_time_limits
from txthoonk.wire._job_options import JobOptions
from txthoonk.worker._errors import SoftTimeLimitExceeded

__all__ = ["Limited", "TimeLimits"]

LINGER = 1.0  # seconds for which a handler that was cancelled may go on without a warning

_CANCELLED = (CancelledError, asyncio.CancelledError)


class TimeLimits:
    """The time limits of the handlers of one worker.

    :param hard: seconds until the claim is failed; None for no limit.
    :param soft: seconds until the handler is cancelled; None for no limit.
    :raises InvalidInput: for limits that cannot be used.

    :ivar interrupts: whether a handler can be cancelled; if not, no soft limit counts.
    :ivar any: whether there is a limit.
    """

    def __init__(self, hard: float | None, soft: float | None, interrupts: bool) -> None:
        check_time_limits(hard, soft)
        self._hard = hard
        self._soft = soft
        self.interrupts = interrupts
        self.any = (hard, soft) != (None, None)

    def of(self, options: JobOptions | None) -> tuple[float | None, float | None]:
        """Return the hard and the soft limit of a job, which may have its own."""
        hard, soft = self._hard, self._soft
        if options is not None:
            hard = hard if options.time_limit is None else options.time_limit
            soft = soft if options.soft_time_limit is None else options.soft_time_limit
        return hard, soft if self.interrupts else None


class Limited:
    """The time limits of one call of a handler, from now on.

    :param hard: as for :class:`TimeLimits`.
    :param soft: likewise.
    :param interrupt: called at the soft limit, to cancel the handler.
    :param give_up: called at the hard limit, with the seconds.
    """

    def __init__(
        self,
        reactor: Any,
        hard: float | None,
        soft: float | None,
        interrupt: Callable[[], object],
        give_up: Callable[[float], object],
    ) -> None:
        self._reactor = reactor
        self._calls: list[IDelayedCall] = []
        self._soft = soft
        self._interrupt = interrupt
        self._interrupted = False
        self._raise: SoftTimeLimitExceeded | None = None
        if soft is not None:
            self._calls.append(reactor.callLater(soft, self._soften))
        if hard is not None:
            self._calls.append(reactor.callLater(hard, give_up, hard))

    def stop(self) -> None:
        """End the limits, because the handler has ended."""
        calls, self._calls = self._calls, []
        for call in calls:
            if call.active():
                call.cancel()

    def linger(self, goes_on: Callable[[], object]) -> None:
        """Call a function if the handler does not end soon; a task of asyncio takes some turns."""
        self._calls.append(self._reactor.callLater(LINGER, goes_on))

    def wrap(self, result: Any) -> Any:
        """Return what a handler has returned; a coroutine gets the error of the soft limit."""
        if self._soft is not None and isinstance(result, CoroutineType):
            return self._run(result)
        return result

    def explain(self, reason: Failure) -> Failure:
        """Return the failure of a handler, which the soft limit may have cancelled."""
        known = reason.check(SoftTimeLimitExceeded)
        if self._interrupted and reason.check(*_CANCELLED) and not known:
            return Failure(self._error())
        return reason

    def _error(self) -> SoftTimeLimitExceeded:
        return SoftTimeLimitExceeded(
            f"the handler ran longer than its soft_time_limit of {self._soft:g} seconds"
        )

    def _soften(self) -> None:
        self._interrupted = True
        self._raise = self._error()
        self._interrupt()

    async def _run(self, handler: Coroutine[Any, Any, Any]) -> Any:
        return await self._drive(handler)

    @coroutine
    def _drive(self, handler: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """Run a coroutine as ``await`` does, but with another error at the soft limit."""
        resume: Callable[[Any], Any] = handler.send
        value: Any = None
        try:
            while True:
                awaited = resume(value)
                try:
                    value = yield awaited
                    resume = handler.send
                except GeneratorExit:
                    handler.close()
                    raise
                except BaseException as error:  # noqa: BLE001  (raised in the coroutine)
                    resume = handler.throw
                    value, self._raise = self._instead(error), None
        except StopIteration as end:
            return end.value

    def _instead(self, error: BaseException) -> BaseException:
        if self._raise is not None and isinstance(error, _CANCELLED):
            return self._raise.with_traceback(error.__traceback__)
        return error
