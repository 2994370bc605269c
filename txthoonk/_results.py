"""Who waits for the results of a feed's jobs.

A result that is kept can be read.  For the others somebody must listen when the job is
finished: all who wait on one publisher share one subscriber, which listens to the two
channels of a feed while anybody waits for a job of that feed.  Until it does, a note in
``feed.results`` makes a finish keep the result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredLock, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from txthoonk._keys import feed_channel, job_finish_channel
from txthoonk._thoonk_sub import ThoonkSub
from txthoonk.errors import ConnectionLost, Empty
from txthoonk.protocol import RedisSubscriber

if TYPE_CHECKING:
    from txthoonk._waiting import WaitingRoom

__all__ = ["ResultSub", "Results"]


_GONE = [b"gone"]


class ResultSub(ThoonkSub):
    """The subscriber of those who wait; it tells when its connection is lost."""

    def __init__(
        self, redis: RedisSubscriber, lost: Callable[[ResultSub, ConnectionLost], object]
    ) -> None:
        super().__init__(redis)
        self._lost = lost

    def connectionLost(self, reason: Failure) -> None:
        """Be told that the connection is gone."""
        super().connectionLost(reason)
        self._lost(
            self, ConnectionLost(f"the connection to Redis was lost: {reason.getErrorMessage()}")
        )


class _Wait(Deferred[Any]):
    """Somebody who waits for one result.

    :cvar query: the job's item, once it is known that the job is not finished.
    :cvar noted: what is noted in Redis, as long as it is.
    """

    query: bytes | None = None
    noted: bytes = b""
    timer: IDelayedCall | None = None


class Results:
    """Everybody on one publisher who waits for the result of a job of one feed.

    :param name: the feed's name.
    :param look: reads the result of a job, and notes that it is wanted, or takes a note
        back: see ``scripts/job/result.lua``.
    """

    def __init__(
        self, room: WaitingRoom, name: str, look: Callable[[str, bytes], Deferred[list[bytes]]]
    ) -> None:
        self._room = room
        self._name = name
        self._look = look
        self._waits: dict[str, dict[_Wait, None]] = {}
        self._handlers: list[tuple[ResultSub, int]] = []
        self._subscribing = DeferredLock()

    # -- who waits ------------------------------------------------------------

    def wait(self, id_: str, timeout: float) -> Deferred[tuple[bytes | None, bytes]]:
        """Wait for the result of a job.

        :param timeout: seconds; 0: for ever.
        :return: fires item (if it is known) and result, as they are stored.
        """
        wait = _Wait(lambda _: self._leave(id_, wait))
        if timeout:
            wait.timer = self._room.reactor.callLater(timeout, self._time_out, id_, wait, timeout)
        self._waits.setdefault(id_, {})[wait] = None
        self._room.active.add(self)
        searching = Deferred.fromCoroutine(self._search(id_, wait))
        searching.addErrback(self._fail, id_, wait)
        return wait

    def _time_out(self, id_: str, wait: _Wait, timeout: float) -> None:
        wait.timer = None
        error = Empty(f"job {id_!r} of feed {self._name!r} had no result for {timeout:g} seconds")
        self._fail(error, id_, wait)

    def _leave(self, id_: str, wait: _Wait) -> None:
        waits = self._waits.get(id_, {})
        waits.pop(wait, None)
        if wait.timer is not None:
            wait.timer.cancel()
            wait.timer = None
        self._take_back(id_, wait)
        if not waits:
            self._waits.pop(id_, None)
        if not self._waits:
            self._room.active.discard(self)
            if not self._subscribing.locked:
                self._stop_listening()

    def _fail(self, reason: Failure | Exception, id_: str, wait: _Wait) -> None:
        if not wait.called:
            self._leave(id_, wait)
            wait.errback(reason)

    def _fire(self, id_: str, wait: _Wait, query: bytes | None, result: bytes) -> None:
        if not wait.called:
            self._leave(id_, wait)
            wait.callback((query, result))

    # -- what there is to know ------------------------------------------------

    async def _search(self, id_: str, wait: _Wait) -> None:
        state, *data = await self._look(id_, b"") or _GONE
        if state == b"active":
            wait.query, wait.noted = data
            if wait.called:
                self._take_back(id_, wait)
                return
            sub = await self._listen()
            if wait.called:
                return
            # If it was finished before anybody was listening, the result is kept for us.
            noted, wait.noted = wait.noted, b""
            state, *data = await self._look(id_, noted) or _GONE
            if state == b"gone" and not wait.called:
                # Others keep nothing. Their message may be behind the answer, but not
                # behind one on the connection that it comes on.
                await sub.redis.send("PING")
        if state == b"kept":
            self._fire(id_, wait, data[1], data[0])
        elif state == b"gone":
            error = Empty(f"feed {self._name!r} has no job {id_!r}, and keeps no result of it")
            self._fail(error, id_, wait)

    def _take_back(self, id_: str, wait: _Wait) -> None:
        noted, wait.noted = wait.noted, b""
        if noted:
            # If that fails, the note is over soon by itself.
            self._look(id_, noted).addErrback(lambda _: None)

    def wanted(self, id_: str) -> bool:
        """Tell whether somebody waits for the result of a job."""
        return id_ in self._waits

    def finished(self, id_: str, result: str | bytes) -> None:
        """Take the result of a job that was finished just now."""
        data = result if isinstance(result, bytes) else result.encode("utf-8", "surrogateescape")
        for wait in list(self._waits.get(id_, ())):
            if wait.query is not None:
                self._fire(id_, wait, wait.query, data)

    def gone(self, id_: str) -> None:
        """Learn that a job is gone; if it had a result, that was told before."""
        for wait in list(self._waits.get(id_, ())):
            if wait.query is not None:
                self._fail(
                    Empty(f"job {id_!r} of feed {self._name!r} ended without a result"), id_, wait
                )

    def drop(self, error: ConnectionLost) -> None:
        """Fail all who wait."""
        for id_, waits in list(self._waits.items()):
            for wait in list(waits):
                self._fail(error, id_, wait)

    def close(self, error: ConnectionLost) -> Deferred[None]:
        """Fail all who wait; fires at once."""
        self.drop(error)
        return succeed(None)

    # -- listening ------------------------------------------------------------

    async def _listen(self) -> ResultSub:
        """Subscribe to the feed's channels, if that was not done already."""
        await self._subscribing.acquire()
        try:
            if not self._handlers:
                await self._subscribe(await self._room.subscriber())
            sub = self._handlers[0][0]
        finally:
            self._subscribing.release()
            if not self._waits:
                self._stop_listening()
        return sub

    async def _subscribe(self, sub: ResultSub) -> None:
        handlers = (
            (job_finish_channel(self._name), self.finished),
            (feed_channel("finishes", self._name), self.gone),
        )
        added = []
        for channel, handler in handlers:
            added.append((sub, await sub.register_handler(channel, handler)))
        self._handlers = added

    def _stop_listening(self) -> None:
        handlers, self._handlers = self._handlers, []
        for sub, handler in handlers:
            sub.remove_handler(handler)
