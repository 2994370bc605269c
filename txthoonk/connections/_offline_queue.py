"""The commands of Redis, over connections that come and go."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import Deferred, fail, succeed

from txthoonk._support._threads import check_thread
from txthoonk.connections._keepalive import text_of
from txthoonk.errors import ConnectionLost, NotSent
from txthoonk.protocol import Redis
from txthoonk.protocol._encoding import TEXT, Encoding
from txthoonk.wire._scripts import Script

__all__ = ["SteadyRedis"]


class _Queued(Deferred[Any]):
    """A call that waits for a connection.

    :ivar due: when it has waited long enough.
    :ivar begin: sends it.
    :ivar sent: what that gave.
    :ivar multi: the MULTI of the transaction that it belongs to.
    """

    due: float
    begin: Callable[[Redis], Deferred[Any]]
    sent: Deferred[Any] | None = None
    multi: _Queued | None


class SteadyRedis(Redis):
    """The commands of Redis, sent on whichever connection there is.

    While there is none, they wait in the order of the calls, and fail with
    :class:`~txthoonk.errors.NotSent` if they wait for too long.  What was sent, and not
    answered before the connection was lost, fails and is not sent again.

    A transaction that waits is sent whole or not at all.  One whose connection is lost
    between MULTI and EXEC is over, and so is a WATCH: send all of a transaction at once.

    :ivar usable: whether there is a connection.

    :param name: the place, to be shown: without a password.
    :param wait: seconds that a call may wait; 0: it fails at once.
    :param limit: how many calls may wait; one more fails at once.
    :param credentials: what :class:`~txthoonk.protocol.Redis` takes.
    """

    _redis: Redis | None = None
    _begun = False

    def __init__(
        self,
        *,
        reactor: Any,
        name: str,
        wait: float = 10.0,
        limit: int = 10_000,
        **credentials: Any,
    ) -> None:
        super().__init__(**credentials)
        self._reactor = reactor
        self._name = name
        self._wait = wait
        self._limit = limit
        self._why: BaseException = ConnectionLost("not connected yet")
        self._stopped: BaseException | None = None
        self._queue: OrderedDict[_Queued, None] = OrderedDict()
        self._timer: Any = None
        self._multi: _Queued | None = None

    # -- what the owner says --------------------------------------------------

    def connected(self, redis: Redis) -> None:  # type: ignore[override]
        """Send what waits, and from now on send all, on *redis*."""
        self._stopped = None
        redis.set_encoding(self.charset, self.errors)
        redis.limits = self.limits
        while self._queue:
            self._send(self._queue.popitem(last=False)[0], redis)
        self._cancel_timer()
        multi, self._multi = self._multi, None
        redis.transaction = self._begun and multi is not None and not multi.called
        self._begun = False
        self._redis = redis
        # A call costs nothing more than one on the connection itself.
        self.request = redis.request  # type: ignore[method-assign]
        self.call = redis.call  # type: ignore[method-assign]
        self.call_together = redis.call_together  # type: ignore[method-assign]

    def disconnected(self, error: Exception) -> None:
        """Let calls wait from now on.

        :param error: why; to be told also of each attempt to connect that fails.
        """
        self._why = error
        self._let_go()

    def _let_go(self) -> None:
        self._redis = None
        self.__dict__.pop("request", None)
        self.__dict__.pop("call", None)
        self.__dict__.pop("call_together", None)

    def stopped(self, error: BaseException) -> None:
        """Fail the calls that wait, and all later ones until there is a connection.

        Or until :meth:`started`: then they wait again.
        """
        self._stopped = error
        self._let_go()
        self._begun, self._multi = False, None
        self._cancel_timer()
        while self._queue:
            self._queue.popitem(last=False)[0].errback(error)

    def started(self) -> None:
        """Let calls wait, after :meth:`stopped`."""
        self._stopped = None

    # -- Redis' own -----------------------------------------------------------

    @property
    def usable(self) -> bool:
        """Whether there is a connection."""
        return self._redis is not None and self._redis.usable

    @property
    def transaction(self) -> bool:
        """Whether MULTI was called, and neither EXEC nor DISCARD behind it."""
        return self._begun if self._redis is None else self._redis.transaction

    @transaction.setter
    def transaction(self, begun: bool) -> None:
        if self._redis is None:
            self._begun = begun
        else:
            self._redis.transaction = begun

    def set_encoding(self, charset: str | None, errors: str = "strict") -> None:
        """Change how ``str`` is encoded and how the replies to come are decoded."""
        super().set_encoding(charset, errors)
        if self._redis is not None:
            self._redis.set_encoding(charset, errors)

    def request(self, command: tuple[Any, ...], encoding: Encoding | None = None) -> Deferred[Any]:
        """Send *command* as soon as there is a connection."""
        return self._wait_for(lambda redis: redis.request(command, encoding))

    def call(self, script: Script, command: tuple[Any, ...], encoding: Encoding) -> Deferred[Any]:
        """Call a script as soon as there is a connection."""
        return self._wait_for(lambda redis: redis.call(script, command, encoding))

    def call_together(
        self,
        script: Script | None,
        prefix: tuple[Any, ...],
        group: tuple[Any, ...],
        encoding: Encoding = TEXT,
    ) -> Deferred[Any]:
        """Call a script or a command with others, as soon as there is a connection."""
        return self._wait_for(lambda redis: redis.call_together(script, prefix, group, encoding))

    def abort(self, error: BaseException | None = None) -> None:
        """Drop the present connection."""
        if self._redis is not None:
            self._redis.abort(error)

    def close(self) -> Deferred[None]:
        """Close the present connection; what waits for one goes on waiting."""
        return succeed(None) if self._redis is None else self._redis.close()

    # -- the queue --------------------------------------------------------------

    def _wait_for(self, send: Callable[[Redis], Deferred[Any]]) -> Deferred[Any]:
        check_thread()
        error = self._refusal()
        if error is not None:
            self._begun = False
            return fail(error)
        queued = _Queued(self._cancelled)
        queued.due = self._reactor.seconds() + self._wait
        queued.begin = send
        if self._begun and self._multi is None:
            self._multi = queued
        queued.multi = self._multi
        if not self._begun:
            self._multi = None
        self._queue[queued] = None
        self._set_timer()
        return queued

    def _refusal(self) -> BaseException | None:
        if self._stopped is not None:
            return self._stopped
        if not self._wait:
            return NotSent(f"there is no connection to {self._name}: {text_of(self._why)}")
        # A transaction that has begun must end, or all behind it would belong to it.
        if len(self._queue) >= self._limit and self._multi is None:
            return NotSent(
                f"{len(self._queue)} calls wait for {self._name} already, "
                f"and there is no connection: {text_of(self._why)}"
            )
        return None

    def _send(self, queued: _Queued, redis: Redis) -> None:
        multi = queued.multi
        if multi is not None and multi.called:
            queued.errback(NotSent("the MULTI before it was not sent"))
            return
        redis.transaction = multi is not None
        queued.sent = sent = queued.begin(redis)
        if not queued.called:
            sent.chainDeferred(queued)
        else:  # cancelled by somebody who was told meanwhile
            sent.addErrback(lambda _: None)
            sent.cancel()

    def _cancelled(self, queued: Deferred[Any]) -> None:
        queued = cast(_Queued, queued)
        if queued not in self._queue:
            if queued.sent is not None:
                queued.sent.cancel()
            return
        del self._queue[queued]
        multi = queued.multi
        if multi is not None and multi in self._queue:
            del self._queue[multi]
            multi.errback(NotSent("a call of its transaction was cancelled"))
        if not self._queue:
            self._cancel_timer()

    def _set_timer(self) -> None:
        if self._timer is None and self._queue:
            left = next(iter(self._queue)).due - self._reactor.seconds()
            self._timer = self._reactor.callLater(max(0, left), self._expire)

    def _cancel_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _expire(self) -> None:
        self._timer = None
        now = self._reactor.seconds()
        late = NotSent(
            f"waited {self._wait:g} seconds for a connection to {self._name}: {text_of(self._why)}"
        )
        while self._queue and next(iter(self._queue)).due <= now:
            self._queue.popitem(last=False)[0].errback(late)
        self._set_timer()
