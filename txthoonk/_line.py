"""The gets of one feed: who waits, in which order, and how they are served (DESIGN 5.3).

At any time a line does one of three things. It is *idle*; or it *asks*: one script call
takes items for as many as wait; or, when there were not enough, it *waits*: BLMOVE on a
connection of its own moves the next id to ``feed.transit``, with which it asks again.
An id for which nobody is left goes back to the front of the feed.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attr
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk._redis import RAW, TEXT
from txthoonk._repeated import Repeated
from txthoonk._scripts import Script
from txthoonk.errors import ConnectionLost, Empty

if TYPE_CHECKING:
    from txthoonk._waiting import WaitingConnection, WaitingRoom

__all__ = ["Line", "Scripts"]

MOST = 100  # items that one script call takes
TRIES = 100  # to end a wait, before its connection is given up

#: What a get does with what it gets: the id, the item, and what else the script replies.
Receive = Callable[..., Any]


class _Get(Deferred[Any]):
    """A get that waits."""

    receive: Receive
    timer: IDelayedCall | None = None


@attr.frozen
class Scripts:
    """The calls of a line, each begun with its KEYS and the first of its ARGV.

    :ivar get: takes items.
    :ivar width: how many parts of its reply make an item.
    :ivar put_back: puts ids back.
    :ivar delivered: says that items were delivered; None if others say so later.
    """

    get: tuple[Script, tuple[str | int, ...]]
    width: int
    put_back: tuple[Script, tuple[str | int, ...]]
    delivered: tuple[Script, tuple[str | int, ...]] | None = None


class Line:
    """Everybody on one publisher who waits for an item of one feed.

    :param name: the feed's name, for what is told to users.
    :param ids: key of the list that the items come from.
    :param transit: key of the list that BLMOVE moves them to.
    """

    _log = Logger()

    def __init__(
        self, room: WaitingRoom, name: str, ids: str, transit: str, scripts: Scripts
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
        self._gets: OrderedDict[_Get, None] = OrderedDict()  # in the order of their calls
        self._busy = False  # whether it asks or waits
        self._taken: deque[list[bytes]] = deque()
        self._time = b""
        self._handed_over: list[bytes] = []
        self._waiting: Deferred[None] | None = None
        self._redis: WaitingConnection | None = None
        self._blocked = False
        self._closing: list[Deferred[None]] = []

    # -- who waits ------------------------------------------------------------

    def get(self, timeout: float, receive: Receive) -> Deferred[Any]:
        """Wait for the next item.

        :param timeout: seconds; 0: for ever.
        :param receive: makes of the parts of an item what is fired.
        """
        get = _Get(self._leave)
        get.receive = receive
        if timeout:
            get.timer = self._room.reactor.callLater(timeout, self._time_out, get, timeout)
        self._gets[get] = None
        if not self._busy:
            self._ask(b"")
        return get

    def _time_out(self, get: _Get, timeout: float) -> None:
        get.timer = None
        self._leave(get)
        get.errback(Empty(f"feed {self._name!r} had nothing to get for {timeout:g} seconds"))

    def _leave(self, get: Any) -> None:
        self._take_off(get)
        if not self._gets:
            self._end_wait(TRIES)

    def _take_off(self, get: _Get) -> None:
        self._gets.pop(get, None)
        if get.timer is not None:
            get.timer.cancel()
            get.timer = None

    def _all_gets(self) -> list[_Get]:
        """Take off everybody, and give them."""
        gets = list(self._gets)
        for get in gets:
            self._take_off(get)
        return gets

    # -- asking ---------------------------------------------------------------

    def _ask(self, moved: bytes) -> None:
        """Take items for all who wait; the one that BLMOVE has moved comes first."""
        self._busy = True
        self._room.active.add(self)
        count = min(len(self._gets), MOST)
        asked = self._pub.redis.call(self._script, (*self._prefix, count, moved), RAW)
        asked.addCallbacks(
            self._deal, self._cannot_ask, callbackArgs=(count,), errbackArgs=(moved,)
        )

    def _cannot_ask(self, reason: Failure, moved: bytes) -> None:
        if moved:
            self._put_back.add([moved, b""])
        self._rest()
        _fail(self._all_gets(), reason)

    def _deal(self, reply: list[bytes], count: int) -> None:
        """Hand the items over to those who wait."""
        self._time = reply[0]
        width = self._width
        self._taken.extend(reply[at : at + width] for at in range(1, len(reply), width))
        enough = len(self._taken) == count
        while self._taken and self._gets:
            self._hand_over(self._taken.popleft())
        self._settle()
        if not self._gets:
            self._rest()
        elif enough:
            self._ask(b"")
        else:
            self._waiting = Deferred.fromCoroutine(self._wait())
            self._waiting.addErrback(self._cannot_wait)

    def _hand_over(self, parts: list[bytes]) -> None:
        get = next(iter(self._gets))
        self._take_off(get)
        if self._delivered is not None:
            self._handed_over.append(parts[0])
        try:
            value = get.receive(*parts)
        except Exception:  # noqa: BLE001  (told to the caller, whose serializer it is)
            get.errback(Failure())
        else:
            get.callback(value)

    def _settle(self) -> None:
        """Say what was delivered, and put back what found nobody."""
        delivered, self._handed_over = self._handed_over, []
        if delivered and self._delivered is not None:
            self._delivered.add(delivered)
        if self._taken:
            back = [word for parts in reversed(self._taken) for word in (parts[0], self._time)]
            self._taken.clear()
            self._put_back.add(back)

    def _rest(self) -> None:
        self._busy = False
        self._room.active.discard(self)
        closing, self._closing = self._closing, []
        for waiter in closing:
            waiter.callback(None)

    # -- waiting --------------------------------------------------------------

    async def _wait(self) -> None:
        redis = self._redis = await self._room.borrow()
        moved = await self._next(redis) if self._gets else b""
        self._redis = None
        self._room.give_back(redis)
        if self._gets:
            self._ask(moved)
            return
        if moved:
            self._put_back.add([moved, b""])
        self._rest()

    async def _next(self, redis: WaitingConnection) -> bytes:
        """Wait for the next id; nothing if the wait was ended."""
        self._blocked = True
        try:
            block = ("BLMOVE", self._ids, self._transit, "RIGHT", "LEFT", 0)
            moved: bytes | None = await redis.request(block, RAW)
            return moved or b""
        finally:
            self._blocked = False

    def _cannot_wait(self, reason: Failure) -> None:
        self._forget_connection()
        self._rest()
        _fail(self._all_gets(), reason)

    def _end_wait(self, tries: int) -> None:
        """Have BLMOVE answered, because nobody is left who wants what it waits for."""
        if not self._blocked or self._redis is None:
            return
        if not tries:
            self._forget_connection()
            return
        unblock = ("CLIENT", "UNBLOCK", self._redis.client_id)
        asked = self._pub.redis.request(unblock, TEXT)
        asked.addCallbacks(self._wait_ended, self._cannot_unblock, callbackArgs=(tries,))

    def _wait_ended(self, unblocked: int, tries: int) -> None:
        # The two connections are not in step: BLMOVE may be on its way still, or its
        # answer may.
        if not unblocked and not self._gets:
            self._end_wait(tries - 1)

    def _cannot_unblock(self, reason: Failure) -> None:
        # It must not go on waiting for nobody: what it gets would be stuck.
        if not reason.check(ConnectionLost):
            self._log.warn(
                "dropping the connection that waits for {name!r}: {error}",
                name=self._name,
                error=reason.getErrorMessage(),
            )
        self._forget_connection()

    def _forget_connection(self) -> None:
        redis, self._redis = self._redis, None
        if redis is not None:
            self._room.forget(redis)

    # -- the publisher's own connection ---------------------------------------

    def drop(self, error: ConnectionLost) -> None:
        """Fail all who wait, and wait no more."""
        gets = self._all_gets()
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()
        self._forget_connection()
        _fail(gets, error)

    def close(self, error: ConnectionLost) -> Deferred[None]:
        """Fail all who wait.

        :return: fires once nothing is under way that might take an item for nobody.
        """
        _fail(self._all_gets(), error)
        self._settle()
        self._end_wait(TRIES)
        if not self._busy:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._closing.append(waiter)
        return waiter


def _fail(gets: list[_Get], reason: Failure | Exception) -> None:
    for get in gets:
        if not get.called:  # not cancelled by one that was failed before it
            get.errback(reason)
