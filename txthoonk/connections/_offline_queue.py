"""The offline queue: the commands of Redis, on whichever connection there is.

While there is a connection, the methods that send are the connection's own. Without one, calls
wait here, in order.
"""

from __future__ import annotations

import codecs
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall

from txthoonk._support._awaiting import AwaitableDeferred
from txthoonk._support._threads import check_thread
from txthoonk.connections._interfaces import Listener
from txthoonk.connections._keepalive import text_of
from txthoonk.errors import ConnectionLost, NotSent
from txthoonk.protocol import Redis
from txthoonk.protocol._commands import Commands
from txthoonk.protocol._encoding import TEXT, Encoding
from txthoonk.protocol._interfaces import Repeater
from txthoonk.protocol._opening import check_credentials
from txthoonk.protocol.bounds._limits import Limits
from txthoonk.wire._scripts import Script

__all__ = ["OfflineQueue"]

_SENDING = ("request", "call", "call_together")  # methods that are the connection's own


class _Queued(AwaitableDeferred[Any]):
    """A call that waits for a connection.

    :ivar due: when it has waited long enough.
    :ivar begin: sends it.
    :ivar sent: the Deferred of the call on the connection; None before it is sent.
    :ivar multi: the MULTI of its transaction; None outside of a transaction.
    """

    due: float
    begin: Callable[[Redis], Deferred[Any]]
    sent: Deferred[Any] | None = None
    multi: _Queued | None


class OfflineQueue(Commands, Listener[Redis]):
    """Sends commands on the present connection, and keeps them while there is none.

    It listens to the connection. Calls that wait are sent in order. They fail with
    :class:`~txthoonk.errors.NotSent` if they wait for too long. Calls that were sent, and got no
    reply before the connection was lost, fail and are not sent again.

    A transaction that waits is sent whole or not at all. If its connection is lost between MULTI
    and EXEC, it is over, and so is a WATCH: send a whole transaction at once.

    :ivar db: the database of the connections to come; so are *username* and *password*.
    :ivar limits: what the servers accept, see :class:`~txthoonk.protocol.bounds._limits.Limits`.

    :param name: the server, for messages: without a password.
    :param wait: seconds that a call may wait; 0: it fails at once.
    :param limit: how many calls may wait; one more fails at once.
    :param db: see :class:`~txthoonk.protocol.Redis`, and for the others.
    """

    def __init__(
        self,
        *,
        reactor: Any,
        name: str,
        wait: float = 10.0,
        limit: int = 10_000,
        db: int | None = None,
        username: str | None = None,
        password: str | None = None,
        charset: str | None = "utf8",
        errors: str = "strict",
    ) -> None:
        check_credentials(password=password, username=username)
        self.db = db if db is not None else 0
        self.username = username
        self.password = password
        self.limits = Limits()
        self._redis: Redis | None = None
        self.set_encoding(charset, errors)
        self._reactor = reactor
        self._name = name
        self._wait = wait
        self._limit = limit
        self._why: BaseException = ConnectionLost("not connected yet")
        self._stopped: BaseException | None = None
        self._queue: OrderedDict[_Queued, None] = OrderedDict()
        self._timer: IDelayedCall | None = None
        self._begun = False
        self._multi: _Queued | None = None

    # -- the connection ---------------------------------------------------------

    def connected(self, redis: Redis) -> None:
        """Send the calls that wait, and from now on all calls, on *redis*."""
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
        # So a call costs no more than one on the connection itself.
        for name in _SENDING:
            self.__dict__[name] = getattr(redis, name)

    def disconnected(self, error: Exception) -> None:
        """Keep calls from now on.

        :param error: why; it is named in the errors of calls that wait in vain.
        """
        self._why = error
        self._let_go()

    def attempt_failed(self, error: Exception) -> None:
        """Learn why there is still no connection."""
        self._why = error

    def _let_go(self) -> None:
        self._redis = None
        for name in _SENDING:
            self.__dict__.pop(name, None)

    # -- what the owner does ----------------------------------------------------

    def stopped(self, error: BaseException) -> None:
        """Fail the calls that wait, and all later ones until there is a connection.

        Or until :meth:`started`: then calls wait again.
        """
        self._stopped = error
        self._let_go()
        self._begun, self._multi = False, None
        self._cancel_timer()
        while self._queue:
            self._queue.popitem(last=False)[0].errback(error)

    def started(self) -> None:
        """Let calls wait for the first connection, after :meth:`stopped`."""
        self._stopped = None
        self.disconnected(ConnectionLost("not connected yet"))

    # -- what a connection has as well ------------------------------------------

    @property
    def usable(self) -> bool:
        """Whether there is a connection."""
        return self._redis is not None and self._redis.usable

    @property
    def waiting(self) -> int:
        """How many calls wait for a connection."""
        return len(self._queue)

    @property
    def transaction(self) -> bool:
        """Whether MULTI was called, and neither EXEC nor DISCARD after it."""
        return self._begun if self._redis is None else self._redis.transaction

    @transaction.setter
    def transaction(self, begun: bool) -> None:
        if self._redis is None:
            self._begun = begun
        else:
            self._redis.transaction = begun

    def set_encoding(self, charset: str | None, errors: str = "strict") -> None:
        """Change how ``str`` is encoded, and how the replies to come are decoded."""
        codecs.lookup_error(errors)
        if charset is not None:
            codecs.lookup(charset)
        self.charset = charset
        self.errors = errors
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
        repeater: Repeater | None = None,
    ) -> Deferred[Any]:
        """Call a script or a command with others, as soon as there is a connection."""
        return self._wait_for(
            lambda redis: redis.call_together(script, prefix, group, encoding, repeater)
        )

    def abort(self, error: BaseException | None = None) -> None:
        """Drop the present connection."""
        if self._redis is not None:
            self._redis.abort(error)

    def close(self) -> Deferred[None]:
        """Close the present connection; calls that wait for one keep waiting."""
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
        # A transaction that has begun must end, or all later calls would belong to it.
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
        else:  # a callback of another call has cancelled it meanwhile
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
