"""The gets of one feed: their order, and how they get items.

A line is in one of three states.  *Idle*: it has no call in progress.  *Asking*: one script call
takes an item for each get.  *Waiting*: there were too few items, so BLMOVE on a connection of its
own moves the next id to ``feed.transit``; then the line asks again with this id.  If no get waits
for the id any more, the line puts it back to the front of the feed.

When memory is full, servers refuse BLMOVE when it is sent, and some also when an id ends its wait.
The line then asks, because taking is allowed, and waits with BRPOP, which is never refused.  The
id is then in no list, and the script that takes it must know that.  If the connection is lost, the
id is in no state, and maintenance restores it.

In a patient room (see :mod:`txthoonk.consumers._room`) the line can also *rest* while gets wait:
until the publisher has a connection again, or for a moment after the line lost the connection on
which it waited.  The line does not repeat a call that was in flight on a lost connection; it asks
again.  If the lost call took items, the new call does not return them: items of a queue are in
``feed.delivering``, from which maintenance puts them back after 30 seconds; jobs are claimed
until the feed's timeout.  An id that BLMOVE moved before its connection was lost is in
``feed.transit``, which maintenance repairs, too.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import attr
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk._support._awaiting import AwaitableDeferred
from txthoonk.consumers._channel_listener import Listening
from txthoonk.consumers._pool import Pool, WaitingConnection
from txthoonk.consumers._syncer import Repeated
from txthoonk.consumers.gets._patience import CheckedRoom, Retry
from txthoonk.errors import (
    AuthenticationError,
    ConnectionLost,
    Empty,
    FeedDoesNotExist,
    InvalidResponse,
    ResponseError,
    shown,
)
from txthoonk.protocol._encoding import RAW, TEXT
from txthoonk.protocol._transient import (
    Passing,
    memory_is_full,
    passes,
    passing,
    refuses_connection,
)
from txthoonk.protocol.bounds._slices import BIG
from txthoonk.wire._scripts import Script

if TYPE_CHECKING:
    from txthoonk.consumers._claims import Claims
    from txthoonk.consumers._deadlines import Timekeeper

__all__ = ["Line", "Scripts"]

MOST = 100  # items that one script call takes
TRIES = 100  # attempts to end a wait, before its connection is dropped
BRIEF = 3.0  # seconds that each BLMOVE waits if CLIENT UNBLOCK cannot end it

# Seconds for which an id in feed.transit belongs to this line.  After 30 seconds maintenance may
# have put it back, and another process may be about to deliver it.
FRESH = 20

#: Makes the value that a get fires from the time, the feed's serializer, the id, the item, and the
#: other parts of the script's reply.
Receive = Callable[..., Any]


class _Get(AwaitableDeferred[Any]):
    """A get that waits."""

    receive: Receive
    number: int
    timer: IDelayedCall | None = None


@attr.frozen
class Scripts:
    """The calls of a line, each with its KEYS and the first of its ARGV.

    :ivar get: takes items.
    :ivar width: the number of parts of its reply for each item.
    :ivar put_back: puts ids back.
    :ivar delivered: acknowledges items; None if another call does that later.
    :ivar claims: the claims of a job feed, which it informs about lost answers.
    :ivar timekeeper: makes the delayed jobs of a job feed available.
    :ivar refuses: returns whether no get receives an item, from the time and its parts of the
        reply; None if they receive all.
    """

    get: tuple[Script, tuple[str | int, ...]]
    width: int
    put_back: tuple[Script, tuple[str | int, ...]]
    delivered: tuple[Script, tuple[str | int, ...]] | None = None
    claims: Claims | None = None
    timekeeper: Timekeeper | None = None
    refuses: Callable[[bytes, list[bytes]], bool] | None = None


class LineRoom(CheckedRoom, Protocol):
    """A waiting room that gets can use.

    :ivar pool: the connections on which commands can block.
    """

    pool: Pool


class Line:
    """All gets on one publisher that wait for an item of one feed.

    :param name: the feed's name, for errors and log lines.
    :param ids: key of the list that the items come from.
    :param transit: key of the list that BLMOVE moves them to.
    """

    _log = Logger()

    def __init__(
        self, room: LineRoom, name: str, ids: str, transit: str, scripts: Scripts
    ) -> None:
        self._room = room
        self._pub = room.pub
        self._name = name
        self._ids = ids
        self._transit = transit
        self._script, self._prefix = scripts.get
        self._width = scripts.width
        self._put_back = Repeated(room, *scripts.put_back)
        self._delivered = scripts.delivered and Repeated(room, *scripts.delivered)
        self._claims = scripts.claims
        self._timekeeper = scripts.timekeeper
        self._refuses = scripts.refuses
        self._attending = False
        configured = (name, self._look_again)
        self._resumed = Listening(room, f"{name!r} to go on", {}, self._look_again, configured)
        self._again = False  # whether the pending answer may be out of date
        self._gets: OrderedDict[_Get, None] = OrderedDict()  # in the order of their calls
        self._newest = 0  # number of the last get
        self._known = 0  # number of the last get for which the feed existed
        self._waited = False  # whether BLMOVE was ever answered
        self._busy = False  # whether it asks or waits
        self._taken: deque[list[bytes]] = deque()
        self._time = b""
        self._serializer: bytes | int = 0
        self._handed_over: list[bytes] = []
        self._waiting: Deferred[None] | None = None
        self._redis: WaitingConnection | None = None
        self._blocked = False
        self._blocks = 0  # number of BLMOVE calls so far
        self._moved = b""  # the id that BLMOVE has moved, until a call takes it
        self._moved_at = 0.0
        self._popped = False  # whether BRPOP has taken it instead
        self._full = False  # whether the last BLMOVE was refused because memory is full
        self._retry = Retry(room, f"an item of {name!r}", self.resume)
        self._closing: list[Deferred[None]] = []

    # -- the gets -------------------------------------------------------------

    def get(self, timeout: float, receive: Receive) -> Deferred[Any]:
        """Wait for the next item.

        :param timeout: seconds; 0: for ever.
        :param receive: makes the value to fire from the parts of an item.
        """
        if self._room.closed is not None:
            return fail(self._room.closed)
        get = _Get(self._leave)
        get.receive = receive
        self._newest += 1
        get.number = self._newest
        if timeout:
            get.timer = self._room.reactor.callLater(timeout, self._time_out, get, timeout)
        self._gets[get] = None
        if not self._busy:
            self._ask()
        return get

    @property
    def waiting(self) -> int:
        """How many gets wait."""
        return len(self._gets)

    def _time_out(self, get: _Get, timeout: float) -> None:
        get.timer = None
        self._leave(get)
        get.errback(Empty(f"feed {self._name!r} had nothing to get for {timeout:g} seconds"))

    def _leave(self, get: Any) -> None:
        self._take_off(get)
        if not self._gets:
            self._nobody_left()

    def _nobody_left(self) -> None:
        if not self._busy:
            self._rest()
        elif self._room.patient and self._waiting is not None and self._redis is None:
            self._waiting.cancel()  # while it connects, which may take long
        else:
            self._end_wait(TRIES)

    def _take_off(self, get: _Get) -> None:
        self._gets.pop(get, None)
        if get.timer is not None:
            get.timer.cancel()
            get.timer = None

    def _all_gets(self) -> list[_Get]:
        """Remove all gets, and return them."""
        gets = list(self._gets)
        for get in gets:
            self._take_off(get)
        return gets

    # -- asking ---------------------------------------------------------------

    def _ask(self) -> None:
        """Take an item for each get; the one that BLMOVE has moved comes first."""
        self._room.outages.wait(self)
        if not self._room.up:
            self._rest()
            return
        self._busy = True
        self._again = False
        count = min(len(self._gets), MOST)
        command = (*self._prefix, count, self._moved)
        if self._popped and self._moved:
            command = (*command, "1")
        asked = self._pub.redis.call(self._script, command, RAW)
        asked.addCallback(self._understood)
        asked.addCallbacks(self._deal, self._cannot_ask, callbackArgs=(count,))

    def _understood(self, reply: Any) -> Any:
        if not (
            type(reply) is list
            and len(reply) >= 2
            and type(reply[0]) is bytes
            and (reply[1] in (0, 1) or type(reply[1]) is bytes)
            and (len(reply) - 2) % self._width == 0
        ):
            raise InvalidResponse(f"{self._script.name} replied {shown(reply)}")
        return reply

    def _cannot_ask(self, reason: Failure) -> None:
        if self._claims is not None and reason.check(ConnectionLost, CancelledError):
            self._claims.doubt()
        if reason.check(FeedDoesNotExist):
            self._feed_gone(reason)
        elif self._passes(reason, self._known > 0):
            late = [] if self._room.patient else self._take_late()
            # Without a connection there is no retry: resume() asks as soon as there is one.
            if self._room.up and passing(reason.value) is not Passing.CONNECTION:
                self._retry.later(reason)
            self._rest()
            _fail(late, reason)
        else:
            self._fail_gets(reason)

    def _passes(self, reason: Failure, worked: bool) -> bool:
        if self._room.patient:
            return passes(reason.value, worked)
        # Not the connection: it does not come back.
        error = reason.value
        return passing(error) in (Passing.TIME, Passing.SERVER) and not refuses_connection(error)

    def _fail_gets(self, reason: Failure) -> None:
        gets = self._all_gets()
        self._rest()
        _fail(gets, reason)

    def _feed_gone(self, reason: Failure) -> None:
        """Fail the gets that began without a feed; the others wait for the next one."""
        self._resumed.end()
        late = self._take_late()
        if not self._gets:
            self._rest()
        elif self._moved:  # another process still puts items
            self._give_back()
            self._retry.later(reason)
            self._rest()
        else:
            self._begin_wait()
        _fail(late, reason)

    def _take_late(self) -> list[_Get]:
        """Remove the gets that began after the last answer, and return them."""
        late = [get for get in self._gets if get.number > self._known]
        for get in late:
            self._take_off(get)
        return late

    def _deal(self, reply: list[Any], count: int) -> None:
        """Fire the gets with the items."""
        self._known = self._newest
        self._time, self._serializer = reply[0], reply[1]
        if self._serializer == 1:  # paused
            self._hold()
            return
        self._moved, self._popped = b"", False
        self._resumed.end()
        width = self._width
        self._taken.extend(reply[at : at + width] for at in range(2, len(reply), width))
        # If the items are big, the reply has fewer than requested, and more may be available.
        enough = len(self._taken) == count or sum(len(item[1]) for item in self._taken) >= BIG
        if self._refuses is not None:
            for parts in [one for one in self._taken if self._refuses(self._time, one)]:
                self._taken.remove(parts)
        if self._taken:
            self._retry.succeeded()
        while self._taken and self._gets:
            self._hand_over(self._taken.popleft())
        self._settle()
        if self._gets and enough:
            self._ask()
        elif self._gets and not self._retry.pending:
            self._begin_wait()
        else:
            self._rest()

    def _hand_over(self, parts: list[bytes]) -> None:
        get = next(iter(self._gets))
        self._take_off(get)
        if self._delivered is not None:
            self._handed_over.append(parts[0])
        try:
            value = get.receive(self._time, self._serializer, *parts)
        except BaseException:  # noqa: BLE001  (passed to the caller, whose serializer it is)
            get.errback(Failure())
        else:
            get.callback(value)

    def _settle(self) -> None:
        """Acknowledge what was delivered, and put back what no get waited for."""
        delivered, self._handed_over = self._handed_over, []
        if delivered and self._delivered is not None:
            self._delivered.add(delivered)
        if self._taken and self._claims is not None:
            # Events announced these as claimed; now events must announce them as available.
            ids = [parts[0] for parts in reversed(self._taken)]
            self._taken.clear()
            self._claims.give_back(ids, self._time)
        elif self._taken:
            back = [word for parts in reversed(self._taken) for word in (parts[0], self._time)]
            self._taken.clear()
            self._put_back.add(back)

    def _hold(self) -> None:
        """Rest until the configuration of a paused feed changes."""
        self._give_back()
        self._rest()
        if self._gets:
            self._resumed.begin()
            if self._again:
                self.resume()

    def _look_again(self, *_: str) -> None:
        self._again = True  # the pending answer may still say "paused"
        self.resume()

    def _attend(self, attend: bool) -> None:
        """Keep the deadlines of the feed, or stop doing so."""
        if self._timekeeper is not None and attend is not self._attending:
            self._attending = attend
            (self._timekeeper.attend if attend else self._timekeeper.leave)()

    def _rest(self) -> None:
        self._busy = False
        if not self._gets:
            self._attend(False)
            self._resumed.end()
            self._room.outages.end_wait(self)
            self._retry.stop()
            self._give_back()
        closing, self._closing = self._closing, []
        for waiter in closing:
            waiter.callback(None)

    def _give_back(self) -> None:
        """Put back an id that BLMOVE or BRPOP has taken for no get."""
        moved, self._moved = self._moved, b""
        popped, self._popped = self._popped, False
        if moved:
            self._put_back.add([moved, b"-" if popped else b""])

    # -- waiting --------------------------------------------------------------

    def _begin_wait(self) -> None:
        self._attend(True)
        self._waiting = Deferred.fromCoroutine(self._wait())
        self._waiting.addErrback(self._cannot_wait)

    async def _wait(self) -> None:
        redis = self._redis = await self._room.pool.borrow()
        self._moved = await self._next(redis) if self._gets else b""
        self._redis = self._waiting = None
        self._room.pool.give_back(redis)
        if self._moved:
            self._moved_at = self._room.reactor.seconds()
        else:
            self._retry.succeeded()
        if self._gets:
            self._ask()
        else:
            self._rest()

    async def _next(self, redis: WaitingConnection) -> bytes:
        """Wait for the next id; return an empty one if the wait was ended."""
        health = self._room.health
        self._blocked = True
        full, self._full = self._full, False
        if health is not None:
            health.blocked(self)
        try:
            moved = await self._block(redis, full)
            # A check ends the wait only to get an answer; then the wait goes on.
            while moved is None and self._gets and self._known == self._newest:
                moved = await self._block(redis, full)
            self._popped = full
            return moved or b""
        except ResponseError as error:
            if full or not memory_is_full(error):
                raise
            self._full = True
            return b""  # an id may be in the line
        finally:
            self._blocked = False
            if health is not None:
                health.answered(self, redis)

    async def _block(self, redis: WaitingConnection, full: bool) -> bytes | None:
        self._blocks += 1
        seconds = 0 if redis.client_id else self._brief
        if full:
            popped: list[bytes] | None = await redis.request(("BRPOP", self._ids, seconds), RAW)
            moved = popped[1] if popped else None
        else:
            block = ("BLMOVE", self._ids, self._transit, "RIGHT", "LEFT", seconds)
            moved = await redis.request(block, RAW)
        self._waited = True
        if self._room.health is not None:
            self._room.health.clear(redis)
        return moved

    @property
    def _brief(self) -> float:
        health = self._room.health
        return BRIEF if health is None else min(BRIEF, health.reply_timeout / 2)

    def _cannot_wait(self, reason: Failure) -> None:
        self._waiting = None
        self._forget_connection()
        # If no wait ever worked, the gets fail; but a password may change at any time.
        worked = self._waited or isinstance(reason.value, AuthenticationError)
        if not self._passes(reason, worked):
            self._fail_gets(reason)
            return
        if self._gets and self._room.up:
            self._retry.later(reason)
        self._rest()

    def resume(self) -> None:
        """Ask again for the gets that wait, if the line rests."""
        self._retry.stop()
        if self._busy or not self._gets:
            return
        if self._moved and self._room.reactor.seconds() - self._moved_at > FRESH:
            self._moved, self._popped = b"", False
        self._ask()

    def check(self) -> None:
        """Have BLMOVE answered, to see whether its connection is alive."""
        if self._redis is not None and self._blocked and not self._redis.client_id:
            if self._room.health is not None:
                self._room.health.suspect(self._redis)  # its BLMOVE soon ends by itself
        elif self._room.up:
            self._end_wait(TRIES)

    def _end_wait(self, tries: int) -> None:
        """Have BLMOVE answered, for example because no get wants its id any more."""
        if not self._blocked or self._redis is None or not self._redis.client_id:
            return
        if not tries or not self._room.up:
            self._forget_connection()
            return
        unblock = ("CLIENT", "UNBLOCK", self._redis.client_id)
        asked = self._pub.redis.request(unblock, TEXT)
        asked.addCallbacks(
            self._wait_ended,
            self._cannot_unblock,
            callbackArgs=(self._redis, self._blocks, tries),
            errbackArgs=(self._redis, self._blocks),
        )

    def _wait_ended(
        self, unblocked: int, redis: WaitingConnection, block: int, tries: int
    ) -> None:
        if not self._blocked or block != self._blocks:
            return
        if unblocked:
            if self._room.health is not None:
                self._room.health.suspect(redis)
        elif self._room.patient or not self._gets:
            # The two connections are not in step: BLMOVE or its answer may still be on the
            # way.
            self._end_wait(tries - 1)

    def _cannot_unblock(self, reason: Failure, redis: WaitingConnection, block: int) -> None:
        if reason.check(ResponseError):
            redis.client_id = 0  # the server no longer allows CLIENT UNBLOCK
        if self._room.patient and self._gets:
            return
        # BLMOVE must not wait without a get: an id that it moves would be stuck.
        if not reason.check(ConnectionLost):
            self._log.warn(
                "dropping the connection that waits for {name!r}: {error}",
                name=self._name,
                error=reason.getErrorMessage(),
            )
        if self._blocked and block == self._blocks:
            self._forget_connection()

    def _forget_connection(self) -> None:
        redis, self._redis = self._redis, None
        if redis is not None:
            self._room.pool.forget(redis)

    # -- the publisher's own connection ---------------------------------------

    def drop(self, error: ConnectionLost) -> None:
        """Fail all gets, and stop waiting."""
        gets = self._all_gets()
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()
        self._forget_connection()
        self._retry.stop()
        self._attend(False)
        self._resumed.end()
        _fail(gets, error)

    def close(self, error: ConnectionLost) -> Deferred[None]:
        """Fail all gets.

        :return: fires once no pending call can take an item that no get waits for.
        """
        _fail(self._all_gets(), error)
        self._settle()
        self._nobody_left()
        if not self._busy:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._closing.append(waiter)
        return waiter


def _fail(gets: list[_Get], reason: Failure | Exception) -> None:
    for get in gets:
        if not get.called:  # a callback of an earlier get may have cancelled it
            get.errback(reason)
