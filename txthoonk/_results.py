"""Who waits for the results of a feed's jobs.

A result that is kept can be read.  For the others somebody must listen when the job is
finished: all who wait on one publisher share one subscriber, which listens to the two
channels of a feed while anybody waits for a job of that feed.  Until it does, a note in
``feed.results`` makes a finish keep the result.

In a patient room (see :mod:`txthoonk._waiting`) those who wait look again whenever a
connection was lost by which they would have learned of a result, and note again that it
is wanted, often enough for the note to stand until somebody listens.  What is finished
while nothing is noted, since nobody can reach Redis, or has learned yet that the
subscriber is gone, is told to nobody; that there is no result is then told, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from txthoonk._deferring import deferring
from txthoonk._dispatch import Handler
from txthoonk._keys import feed_channel, job_finish_channel
from txthoonk._passing import passes
from txthoonk._patience import Retry
from txthoonk._thoonk_sub import ThoonkSub
from txthoonk.errors import ConnectionLost, Empty, InvalidResponse, JobStalled, shown
from txthoonk.protocol import RedisSubscriber

if TYPE_CHECKING:
    from txthoonk._waiting import WaitingRoom

__all__ = ["ResultSub", "Results"]

# Seconds that one attempt to listen may take in a patient room, and from one to the next
# at the most: together less than a note stands (WANTED in txthoonk.types._job_results).
ATTEMPT = 4.0
RENEWAL = 4.0

_GONE = [b"gone"]
_UNFINISHED = (b"active", b"stalled")


class ResultSub(ThoonkSub):
    """The subscriber of those who wait; it tells when its connection is lost."""

    def __init__(
        self, redis: RedisSubscriber, lost: Callable[[ResultSub, ConnectionLost], object]
    ) -> None:
        super().__init__(redis)
        self._lost = lost

    @deferring
    def listen(self, channel: str, handler: Handler, feed: str | None = None) -> Deferred[int]:
        """Call a handler for the messages of a channel, or for those of one feed on it.

        :return: as :meth:`register_handler`.
        """
        return self._dispatcher.add(channel, handler, feed)

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
    :cvar until_end: whether it is over, too, when the job ends without a result, or stalls.
    :cvar searching: whether it is being looked for.
    :cvar sub: who listens, since before the job was last seen unfinished.
    """

    query: bytes | None = None
    noted: bytes = b""
    until_end = False
    searching = False
    sub: ResultSub | None = None
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
        self._listened = False  # whether it ever did
        self._attempt: Deferred[list[tuple[ResultSub, int]]] | None = None
        self._joining: list[Deferred[ResultSub]] = []
        self._retry = Retry(room, f"results of {name!r}", self.resume, RENEWAL)

    # -- who waits ------------------------------------------------------------

    def wait(
        self, id_: str, timeout: float, until_end: bool = False
    ) -> Deferred[tuple[bytes | None, Any]]:
        """Wait for the result of a job.

        :param timeout: seconds; 0: for ever.
        :param until_end: wait no longer, too, when the job ends without a result, or is
            stalled.
        :return: fires item (if it is known) and result, as they are stored; no result if the
            job ended without one; fails with :class:`~txthoonk.errors.JobStalled`.
        """
        if self._room.closed is not None:
            return fail(self._room.closed)
        wait = _Wait(lambda _: self._leave(id_, wait))
        wait.until_end = until_end
        if timeout:
            wait.timer = self._room.reactor.callLater(timeout, self._time_out, id_, wait, timeout)
        self._waits.setdefault(id_, {})[wait] = None
        self._room.active.add(self)
        self._seek(id_, wait)
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
            self._nobody_left()

    def _nobody_left(self) -> None:
        self._room.active.discard(self)
        self._retry.stop()
        if self._room.health is not None:
            self._room.health.silent(self)
        if self._attempt is None:
            self._stop_listening()
        elif self._room.patient:
            self._attempt.cancel()

    def _fail(self, reason: Failure | Exception, id_: str, wait: _Wait) -> None:
        if not wait.called:
            self._leave(id_, wait)
            wait.errback(reason)

    def _fire(self, id_: str, wait: _Wait, query: bytes | None, result: bytes | None) -> None:
        if not wait.called:
            self._leave(id_, wait)
            wait.callback((query, result))

    # -- what there is to know ------------------------------------------------

    def _seek(self, id_: str, wait: _Wait) -> None:
        if self._room.up and not wait.searching:
            wait.searching = True
            wait.sub = None
            searching = Deferred.fromCoroutine(self._search(id_, wait))
            searching.addCallbacks(
                self._searched, self._cannot_search, (id_, wait), {}, (id_, wait), {}
            )

    def _searched(self, _: object, id_: str, wait: _Wait) -> None:
        wait.searching = False
        if wait in self._waits.get(id_, ()) and wait.sub is not self._sub:
            self._seek(id_, wait)  # who listened is gone already

    def _cannot_search(self, reason: Failure, id_: str, wait: _Wait) -> None:
        wait.searching = False
        if not (self._room.patient and passes(reason.value, self._listened)):
            self._fail(reason, id_, wait)
        elif self._room.up and self._waits:
            self._retry.later(reason)

    def resume(self) -> None:
        """Look for what nobody would be told of, and nobody is looking for."""
        self._retry.stop()
        sub = self._sub
        for id_, waits in list(self._waits.items()):
            for wait in list(waits):
                if sub is None or wait.sub is not sub:
                    self._seek(id_, wait)

    async def _search(self, id_: str, wait: _Wait) -> None:
        state, *data = await self._look_up(id_, b"")
        seen = state in _UNFINISHED
        if seen:
            wait.query, wait.noted = data
            if wait.called:
                self._take_back(id_, wait)
                return
            sub = await self._listen()
            if wait.called:
                return
            # If it was finished before anybody was listening, the result is kept for us.
            noted, wait.noted = wait.noted, b""
            state, *data = await self._look_up(id_, noted)
            wait.sub = sub
        if state == b"stalled":
            self.stalled(id_)
        elif state == b"kept":
            self._fire(id_, wait, data[1], data[0])
            # Whose note stood took it away, which the others find gone.
            self.finished(id_, data[0])
        elif state == b"gone":
            if not wait.called:
                await self._lose(id_, wait, seen)
        elif state != b"active":
            raise InvalidResponse(f"job/result replied {shown(state)}")

    async def _look_up(self, id_: str, noted: bytes) -> list[bytes]:
        if not self._room.up:
            raise ConnectionLost("the publisher has no connection to Redis")
        return await self._look(id_, noted) or _GONE

    async def _lose(self, id_: str, wait: _Wait, seen: bool) -> None:
        """Tell that a job is gone, and no result of it is kept.

        :param seen: whether it was there a moment ago, with a note that we want its result:
            else it may have had one, while nobody listened.
        """
        if wait.query is not None and self._sub is not None:
            # Its message may be behind the answer, but not behind one on the connection
            # that it comes on.
            await self._sub.redis.send("PING")
        if seen and wait.query is not None and wait.until_end:
            self._fire(id_, wait, wait.query, None)
        error = Empty(f"feed {self._name!r} has no job {id_!r}, and keeps no result of it")
        self._fail(error, id_, wait)

    def _take_back(self, id_: str, wait: _Wait) -> None:
        noted, wait.noted = wait.noted, b""
        if noted and self._room.up:
            # If that fails, the note is over soon by itself.
            self._look(id_, noted).addErrback(lambda _: None)

    def wanted(self, id_: str) -> bool:
        """Tell whether the result of a job need not be kept for those who wait for it.

        Those who wait in a patient room may lose the answer to the finish.
        """
        return id_ in self._waits and not self._room.patient

    def finished(self, id_: str, result: str | bytes) -> None:
        """Take the result of a job that was finished just now."""
        data = result if isinstance(result, bytes) else result.encode("utf-8", "surrogateescape")
        for wait in list(self._waits.get(id_, ())):
            if wait.query is not None:
                self._fire(id_, wait, wait.query, data)

    def stalled(self, id_: str) -> None:
        """Learn that a job is stalled."""
        for wait in list(self._waits.get(id_, ())):
            if wait.until_end:
                self._fail(JobStalled(f"job {id_!r} of feed {self._name!r} is stalled"), id_, wait)

    def gone(self, id_: str) -> None:
        """Learn that a job is gone; if it had a result, that was told before."""
        for wait in list(self._waits.get(id_, ())):
            if wait.query is not None and wait.until_end:
                self._fire(id_, wait, wait.query, None)
            elif wait.query is not None:
                self._fail(
                    Empty(f"job {id_!r} of feed {self._name!r} ended without a result"), id_, wait
                )

    def drop(self, error: ConnectionLost) -> None:
        """Fail all who wait, and wait no more."""
        for id_, waits in list(self._waits.items()):
            for wait in list(waits):
                self._fail(error, id_, wait)

    def close(self, error: ConnectionLost) -> Deferred[None]:
        """Fail all who wait; fires at once."""
        self.drop(error)
        return succeed(None)

    # -- listening ------------------------------------------------------------

    @property
    def _sub(self) -> ResultSub | None:
        """Who listens, if somebody does."""
        return self._handlers[0][0] if self._handlers else None

    async def _listen(self) -> ResultSub:
        """Subscribe to the feed's channels, if that was not done already."""
        sub = self._sub
        if sub is None:
            joining: Deferred[ResultSub] = Deferred()
            self._joining.append(joining)
            if self._attempt is None:
                self._try_to_listen()
            sub = await joining
        if self._room.health is not None and self._waits:
            self._room.health.listening(self)
        return sub

    def _try_to_listen(self) -> None:
        """Subscribe for all who want to listen."""
        attempt = self._attempt = Deferred.fromCoroutine(self._subscribe())
        if self._room.patient:
            attempt.addTimeout(ATTEMPT, self._room.reactor, _too_slow)
        attempt.addCallbacks(self._listens, self._cannot_listen)

    def _listens(self, handlers: list[tuple[ResultSub, int]]) -> None:
        self._attempt = None
        self._listened = True
        self._handlers = handlers
        joining, self._joining = self._joining, []
        for one in joining:
            one.callback(handlers[0][0])
        if not self._waits:
            self._stop_listening()

    def _cannot_listen(self, reason: Failure) -> None:
        self._attempt = None
        joining, self._joining = self._joining, []
        for one in joining:
            one.errback(reason.value)

    async def _subscribe(self) -> list[tuple[ResultSub, int]]:
        sub = await self._room.subscriber()
        handlers = (
            (job_finish_channel(self._name), self.finished),
            (feed_channel("finishes", self._name), self.gone),
            (feed_channel("stalled", self._name), self.stalled),
        )
        added: list[tuple[ResultSub, int]] = []
        try:
            for channel, handler in handlers:
                added.append((sub, await sub.register_handler(channel, handler)))
        except BaseException:
            _remove(added)
            raise
        return added

    def _stop_listening(self) -> None:
        handlers, self._handlers = self._handlers, []
        _remove(handlers)

    def listen_again(self, reason: Failure) -> None:
        """Look again, because the subscriber was lost with what it would have told.

        At once, since the results are not kept until that is done; unless it was lost
        just before, too.
        """
        self._stop_listening()
        if not self._waits:
            return
        if self._retry.failures:
            self._retry.later(reason)
        else:
            self._retry.failed(reason)
            self.resume()

    def alive(self) -> None:
        """Learn that the subscriber has answered."""
        self._retry.succeeded()


def _remove(handlers: list[tuple[ResultSub, int]]) -> None:
    for sub, handler in handlers:
        sub.remove_handler(handler)


def _too_slow(_: object, seconds: float) -> None:
    raise ConnectionLost(f"nobody listens for results after {seconds:g} seconds")
