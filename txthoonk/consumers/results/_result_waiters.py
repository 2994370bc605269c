"""Calls that wait for the results of a feed's jobs.

A call can read a result that is kept.  To get any other result, the publisher must be listening
when the job is finished; all calls on one publisher share one subscriber.  Until it listens, a
note in ``feed.results`` makes a finish keep the result.

A few publishers (:data:`LISTENERS`) listen to the two channels that announce the ends of all jobs
of the feed; ``feed.listeners`` lists them.  Every other publisher listens to one channel for each
job that it waits for, and its notes stay: a finish publishes a result with a note on that channel.
Other implementations do not publish there, so the listeners pass on the results that have a note.
While other publishers may depend on them, the listeners continue for some time after their last
call has ended, so that other publishers can take their place.

Other implementations do not announce every end of a job, so
:mod:`txthoonk.consumers.results._second_looks` looks from time to time.

In a patient room (see :mod:`txthoonk.consumers._room`) the calls look again whenever a
connection was lost that would have announced their result.  They renew their notes often enough
for a note to last until the subscriber listens.  A job may be finished while there is no note,
because no publisher can reach Redis or knows yet that its subscriber is gone.  Then the result is
lost, and the calls fail.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from txthoonk._support._awaiting import AwaitableDeferred
from txthoonk._support._replies import parsing
from txthoonk.consumers._interfaces import ResultCalls
from txthoonk.consumers._subscriber import Handlers, ResultSub, Wanted, remove
from txthoonk.consumers.gets._passing_on import MOST_HEARD, MOST_IDS, PassingOn
from txthoonk.consumers.gets._patience import CheckedRoom, Retry
from txthoonk.consumers.results._second_looks import SecondLooks
from txthoonk.errors import (
    ConnectionLost,
    Empty,
    InvalidResponse,
    JobStalled,
    ResponseError,
    ThoonkError,
    shown,
)
from txthoonk.protocol._transient import passes
from txthoonk.wire._keys import ended_channel, feed_channel, job_finish_channel

__all__ = ["Results"]

# Seconds that one attempt to listen may take in a patient room, the most seconds until the next
# attempt, and the seconds that a note lasts, which are more than the other two together.
ATTEMPT = 4.0
RENEWAL = 4.0
WANTED = 10.0

LISTENERS = 3  # publishers that listen to the results of all jobs of a feed
LEASE = 25.0  # seconds that a listener counts as one, and that a note of the others lasts
LEASE_RENEWAL = 10.0  # seconds from one renewal of both to the next
# Seconds that a listener continues: until it no longer counts, and all others have asked again.
LINGER = LEASE + LEASE_RENEWAL + 5
FULL = 2  # the reply of job/listen if no further publisher may listen to all jobs

_GONE = [b"gone"]
_UNFINISHED = (b"active", b"stalled")


class _Wait(AwaitableDeferred[Any]):
    """A call that waits for one result.

    :cvar query: the job's item, once the job is known to be unfinished.
    :cvar noted: the note in Redis that this call must remove; empty if there is none.
    :cvar until_end: whether the wait also ends when the job ends without a result, or stalls.
    :cvar searching: whether a search for the result is in progress.
    :cvar sub: the subscriber that has listened since before the job was last seen unfinished.
    :cvar since: when the job was last seen so, in seconds.
    :cvar handler: the handler of the job's own channel, while the call listens to it.
    """

    query: bytes | None = None
    noted: bytes = b""
    until_end = False
    searching = False
    sub: ResultSub | None = None
    since = 0.0
    handler: tuple[ResultSub, int] | None = None
    timer: IDelayedCall | None = None


class Results:
    """All calls on one publisher that wait for results of the jobs of one feed.

    :param name: the feed's name.
    """

    def __init__(self, room: CheckedRoom, name: str, calls: ResultCalls) -> None:
        self._room = room
        self._name = name
        self._calls = calls
        self._waits: dict[str, dict[_Wait, None]] = {}
        self._handlers: Handlers = []
        self._listened = False  # whether it ever listened
        self._attempt: Deferred[Handlers] | None = None
        self._joining: list[Deferred[ResultSub]] = []
        self._retry = Retry(room, f"results of {name!r}", self.resume, RENEWAL)
        self._all = False  # whether it listens to the results of all jobs
        self._left = 0.0  # when the last call ended, in seconds
        # Until when other publishers may listen to their own jobs only, in seconds.
        self._full_until = 0.0
        self._timer: IDelayedCall | None = None
        self._others = PassingOn(calls.pass_on)
        self._asking = False
        self._looks = SecondLooks(room, calls.ended, self._settled, self._vanished, self.stalled)

    # -- waiting calls --------------------------------------------------------

    def wait(
        self, id_: str, timeout: float, until_end: bool = False
    ) -> Deferred[tuple[bytes | None, Any]]:
        """Wait for the result of a job.

        :param timeout: seconds; 0: for ever.
        :param until_end: stop waiting also when the job ends without a result, or is stalled.
        :return: fires the item and the result, as they are stored; None for an item that is not
            known, and for the result of a job that ended without one.  Fails with
            :class:`~txthoonk.errors.JobStalled`.
        """
        if self._room.closed is not None:
            return fail(self._room.closed)
        wait = _Wait(lambda _: self._leave(id_, wait))
        wait.until_end = until_end
        if timeout:
            wait.timer = self._room.reactor.callLater(timeout, self._time_out, id_, wait, timeout)
        if not self._waits and self._handlers:
            self._go_on()
        self._waits.setdefault(id_, {})[wait] = None
        self._room.outages.wait(self)
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
        handler, wait.handler = wait.handler, None
        if handler is not None:
            remove([handler])
        if not waits:
            self._waits.pop(id_, None)
        if not self._waits:
            self._nobody_left()

    def _nobody_left(self) -> None:
        self._room.outages.end_wait(self)
        self._retry.stop()
        self._looks.stop()
        self._stop_timer()
        if self._room.health is not None:
            self._room.health.silent(self)
        if self._attempt is None:
            self._left = self._room.reactor.seconds()
            if not (self._all and self._left < self._full_until):
                self._leave_all()
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

    # -- looking for results --------------------------------------------------

    def _seek(self, id_: str, wait: _Wait, seen: bool = False) -> None:
        """Look for a result.

        :param seen: whether the job existed a moment ago, with a note that its result is wanted.
        """
        if self._room.up and not wait.searching:
            wait.searching = True
            wait.sub = None
            searching = Deferred.fromCoroutine(self._search(id_, wait, seen))
            searching.addCallbacks(
                self._searched, self._cannot_search, (id_, wait), {}, (id_, wait), {}
            )

    def _searched(self, _: object, id_: str, wait: _Wait) -> None:
        wait.searching = False
        if wait in self._waits.get(id_, ()) and wait.sub is not self._sub:
            self._seek(id_, wait)  # the subscriber was lost during the search

    def _cannot_search(self, reason: Failure, id_: str, wait: _Wait) -> None:
        wait.searching = False
        if not (self._room.patient and passes(reason.value, self._listened)):
            self._fail(reason, id_, wait)
        elif self._room.up and self._waits:
            self._retry.later(reason)

    def resume(self) -> None:
        """Look for every result that the present subscriber may have missed."""
        self._retry.stop()
        sub = self._sub
        for id_, waits in list(self._waits.items()):
            for wait in list(waits):
                if sub is None or wait.sub is not sub:
                    self._seek(id_, wait)

    async def _search(self, id_: str, wait: _Wait, seen: bool) -> None:
        state, *data = await self._look_up(id_, b"")
        if state in _UNFINISHED:
            seen = True
            with parsing:
                wait.query, wait.noted = data
            if wait.called:
                self._take_back(id_, wait)
                return
            sub = await self._listen()
            if not (self._all or wait.called):
                await self._listen_to(id_, wait, sub)
            if wait.called:
                return
            # If the job was finished before the subscriber listened, its result is kept.
            noted, wait.noted = wait.noted, b""
            if self._all:
                state, *data = await self._look_up(id_, noted)
            else:  # the note stays: other publishers may want the result, too
                state, *data = await self._look_up(id_, b"", LEASE)
            wait.sub, wait.since = sub, self._room.reactor.seconds()
            if self._waits:
                self._looks.begin()
        if state == b"stalled":
            self.stalled(id_)
        elif state == b"kept":
            with parsing:
                result, query = data
            self._fire(id_, wait, wait.query if query is None else query, result)
            # The call whose note it was has removed the result: the others would find it gone.
            self.finished(id_, result)
        elif state == b"gone":
            if not wait.called:
                await self._lose(id_, wait, seen)
        elif state != b"active":
            raise InvalidResponse(f"job/result replied {shown(state)}")

    async def _look_up(self, id_: str, noted: bytes, wanted: float = WANTED) -> list[bytes]:
        if not self._room.up:
            raise ConnectionLost("the publisher has no connection to Redis")
        reply = await self._calls.look(id_, noted, wanted)
        with parsing:
            return list(reply or _GONE)

    async def _lose(self, id_: str, wait: _Wait, seen: bool) -> None:
        """End a wait, because its job is gone and no result of it is kept.

        :param seen: whether the job existed a moment ago, with a note that its result is wanted.
            Otherwise it may have had a result that the subscriber has missed.
        """
        if wait.query is not None and self._sub is not None:
            # The message with its result may arrive after the present answer, but not after
            # an answer on the subscriber's connection.
            await self._sub.redis.send("PING")
        if seen and wait.query is not None and wait.until_end:
            self._fire(id_, wait, wait.query, None)
        error = Empty(f"feed {self._name!r} has no job {id_!r}, and keeps no result of it")
        self._fail(error, id_, wait)

    def _take_back(self, id_: str, wait: _Wait) -> None:
        noted, wait.noted = wait.noted, b""
        if noted and self._room.up:
            # If that fails, the note soon expires by itself.
            self._calls.look(id_, noted, WANTED).addErrback(lambda _: None)

    def wanted(self, id_: str) -> bool:
        """Return whether the result of a job need not be kept for the calls that wait for it.

        In a patient room it must be kept, because the answer to the finish may be lost.
        """
        return id_ in self._waits and not self._room.patient

    def finished(self, id_: str, result: str | bytes) -> None:
        """Take the result of a job that was finished just now."""
        data = result if isinstance(result, bytes) else result.encode("utf-8", "surrogateescape")
        for wait in list(self._waits.get(id_, ())):
            if wait.query is not None:
                self._fire(id_, wait, wait.query, data)

    def stalled(self, id_: str) -> None:
        """Fail the calls that wait for the end of a job, because it is stalled."""
        for wait in list(self._waits.get(id_, ())):
            if wait.until_end:
                self._fail(JobStalled(f"job {id_!r} of feed {self._name!r} is stalled"), id_, wait)

    def gone(self, id_: str) -> None:
        """End the calls that wait for a job that is gone; its result, if any, came before."""
        for wait in list(self._waits.get(id_, ())):
            if wait.query is not None and wait.until_end:
                self._fire(id_, wait, wait.query, None)
            elif wait.query is not None:
                self._fail(
                    Empty(f"job {id_!r} of feed {self._name!r} ended without a result"), id_, wait
                )

    def _settled(self) -> Iterator[tuple[str, float]]:
        """List the jobs whose ends the subscriber would announce, and when they were looked up."""
        for id_, waits in self._waits.items():
            seen = [wait.since for wait in waits if wait.sub is not None and not wait.searching]
            if seen:
                yield id_, max(seen)

    def _vanished(self, id_: str) -> None:
        """Look for the result of a job that is gone."""
        for wait in list(self._waits.get(id_, ())):
            self._seek(id_, wait, seen=wait.query is not None)

    def drop(self, error: ConnectionLost) -> None:
        """Fail all calls that wait, and stop listening."""
        for id_, waits in list(self._waits.items()):
            for wait in list(waits):
                self._fail(error, id_, wait)
        self._stop_listening()

    def close(self, error: ConnectionLost) -> Deferred[None]:
        """Fail all calls that wait; fires at once."""
        self.drop(error)
        return succeed(None)

    # -- listening ------------------------------------------------------------

    @property
    def _sub(self) -> ResultSub | None:
        """The subscriber that listens; None if there is none."""
        return self._handlers[0][0] if self._handlers else None

    async def _listen(self) -> ResultSub:
        """Subscribe to the feed's channels, if that is not done already."""
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
        """Subscribe for all calls that need to listen."""
        attempt = self._attempt = Deferred.fromCoroutine(self._subscribe())
        if self._room.patient:
            attempt.addTimeout(ATTEMPT, self._room.reactor, _too_slow)
        attempt.addCallbacks(self._listens, self._cannot_listen)

    def _listens(self, handlers: Handlers) -> None:
        self._attempt = None
        self._listened = True
        self._handlers = handlers
        joining, self._joining = self._joining, []
        for one in joining:
            one.callback(handlers[0][0])
        if self._waits:
            self._ask_later()
        else:
            self._nobody_left()

    def _cannot_listen(self, reason: Failure) -> None:
        self._attempt = None
        joining, self._joining = self._joining, []
        for one in joining:
            one.errback(reason.value)

    async def _subscribe(self) -> Handlers:
        sub = await self._room.subscriber.get()
        self._all = await self._asked()
        wanted: list[Wanted] = [(feed_channel("stalled", self._name), self.stalled, None)]
        if self._all:
            wanted[:0] = self._of_all()
        return await sub.listen(wanted)

    def _stop_listening(self) -> None:
        self._stop_timer()
        handlers, self._handlers = self._handlers, []
        self._all = False
        self._others.heard.clear()
        for wait in itertools.chain.from_iterable(self._waits.values()):
            if wait.handler is not None:
                handlers.append(wait.handler)
                wait.handler = None
        remove(handlers)

    # -- all jobs, or some ------------------------------------------------------

    def _of_all(self) -> list[Wanted]:
        """Return the channels with the ends of all jobs."""
        return [
            (job_finish_channel(self._name), self._hear, None),
            (feed_channel("finishes", self._name), self.gone, None),
        ]

    async def _asked(self) -> bool:
        """Ask whether to listen to the results of all jobs."""
        try:
            return await self._say(())
        except ResponseError:  # a publisher that may not ask can still listen
            return True

    async def _say(self, ids: Iterable[str]) -> bool:
        """Register as waiting for results; return whether to listen to those of all jobs."""
        answer, gone = await self._calls.listen(ids, LEASE, LISTENERS, LEASE)
        if answer == FULL:
            self._full_until = self._room.reactor.seconds() + LINGER
        for id_ in gone:
            self._vanished(id_)
        return answer > 0

    async def _listen_to(self, id_: str, wait: _Wait, sub: ResultSub) -> None:
        """Listen to the channel of one job."""
        if wait.handler is None:
            channel = ended_channel(self._name, id_)
            handler = sub, await sub.register_handler(channel, self._ended)
            if wait.called or wait.handler is not None:
                remove([handler])
            else:
                wait.handler = handler

    def _ended(self, id_: str, *parts: str) -> None:
        """Handle a message on the channel of one job: the job has ended."""
        if parts:
            self.finished(id_, "\0".join(parts))
        else:
            self.gone(id_)

    def _go_on(self) -> None:
        """Continue to listen, unless another publisher may have taken over."""
        if self._room.reactor.seconds() - self._left < LEASE - LEASE_RENEWAL:
            self._ask_again()
        else:
            self._stop_listening()

    def _leave_all(self) -> None:
        if self._all and self._room.up:
            self._calls.leave().addErrback(lambda _: None)  # the registration soon expires
        self._stop_listening()

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _ask_later(self) -> None:
        self._stop_timer()
        self._timer = self._room.reactor.callLater(LEASE_RENEWAL, self._ask_again)

    def _ask_again(self) -> None:
        """Renew the registration and the notes."""
        self._ask_later()
        if self._room.up and not self._asking:
            self._asking = True
            asking = Deferred.fromCoroutine(self._renew())
            # The next renewal repeats it.
            asking.addErrback(lambda reason: reason.trap(ThoonkError))
            asking.addBoth(self._has_asked)

    def _has_asked(self, result: object) -> object:
        self._asking = False
        return result

    async def _renew(self) -> None:
        sub, ids = self._sub, [] if self._all else list(self._waits)
        for first in range(0, len(ids) or 1, MOST_IDS):
            some = ids[first : first + MOST_IDS]
            all_ = await self._say(some)
            if all_ and not self._all and sub is not None and sub is self._sub:
                await self._listen_to_all(sub)

    async def _listen_to_all(self, sub: ResultSub) -> None:
        """Take the place of a publisher that no longer listens to all jobs."""
        added = await sub.listen(self._of_all())  # if this fails, the next renewal repeats it
        if sub is not self._sub:
            remove(added)
            return
        self._all = True
        self._handlers += added

    def _hear(self, id_: str, result: str) -> None:
        """Take a result; publishers that listen to some jobs only may wait for it, too."""
        self.finished(id_, result)
        now, others = self._room.reactor.seconds(), self._others
        if not self._waits and self._attempt is None and now >= self._left + LINGER:
            self._stop_listening()
        elif now < self._full_until and self._room.up and len(others.heard) < MOST_HEARD:
            others.heard[id_] = result.encode("utf-8", "surrogateescape")
            if not others.busy:
                others.begin()

    def lost(self, error: ConnectionLost) -> None:
        """Listen again, or fail all calls that wait, because the subscriber was lost."""
        if self._room.patient:
            self._listen_again(Failure(error))
        else:
            self.drop(error)

    def _listen_again(self, reason: Failure) -> None:
        """Look again, because the lost subscriber may have missed results.

        Look at once, because results are not kept before the calls have noted again that they
        want them.  If the subscriber was lost shortly before as well, wait for the back-off.
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
        """Record that the subscriber has answered."""
        self._retry.succeeded()


def _too_slow(_: object, seconds: float) -> None:
    raise ConnectionLost(f"no connection to listen for results after {seconds:g} seconds")
