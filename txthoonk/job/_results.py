"""Finishing jobs, and their results."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txthoonk._support._deferreds import deferring
from txthoonk._support._replies import parses, parsing
from txthoonk.consumers._pool import WaitingRoom
from txthoonk.consumers._result_trimming import MOST, Forgetting
from txthoonk.consumers._result_waiters import Results
from txthoonk.errors import JobStalled, from_reply
from txthoonk.job._claim import NO_RESULT, Claim
from txthoonk.job._inspection import JobState
from txthoonk.protocol._encoding import RAW, TEXT, encode
from txthoonk.types._base import to_text
from txthoonk.wire._checks import check_seconds
from txthoonk.wire._keys import check_id, ended_channel, kept_result_key
from txthoonk.wire._scripts import load

if TYPE_CHECKING:
    from txthoonk.consumers._interfaces import Publisher

__all__ = ["JobResults"]

_FINISH = load("job/finish")
_FORGET = load("job/forget")
_LISTEN = load("job/listen")
_PASS_ON = load("job/pass_on")
_RESULT = load("job/result")


class JobResults(JobState):
    """How jobs end, and what came of them; see :class:`txthoonk.types.Job`."""

    NO_RESULT: ClassVar[object] = NO_RESULT

    def __init__(self, pub: Publisher, name: str, serializer: str = "text") -> None:
        super().__init__(pub, name, serializer)
        self._finish_keys = (
            *(*self._keys, self.feed_ids, self.feed_claimed, self.feed_cancelled),
            *(self.feed_published, self.feed_finishes, self.feed_results),
            *(self.feed_claims, self.feed_failures, self.feed_progress),
        )
        self._finish_words = (
            *(*self._words, self.channel_finish, self.channel_finished, self.channel_claim),
            *(ended_channel(name), self._claims.owner),
        )
        self._results = pub.waiting_room.results(name, self._make_results)
        self._forgetting = pub.waiting_room.forgetting(name, self._make_forgetting)

    def _make_results(self, room: WaitingRoom) -> Results:
        return Results(room, self.name, _Calls(self))

    def _make_forgetting(self, room: WaitingRoom) -> Forgetting:
        return Forgetting(room, self._forget)

    def _removed(self, id_: str) -> None:
        self._results.gone(id_)

    @deferring
    def finish(
        self, id_: str | Claim, result: Any = NO_RESULT, timeout: float | None = None
    ) -> Deferred[None]:
        """Finish a claimed job: it is gone then.

        :param id_: the id, or the claim.  If this publisher has claimed the job, it is that
            claim, the last one, that is meant by the id; else whichever there is.
        :param result: what the feed's serializer takes; it is published to those who
            listen or wait for it.
        :param timeout: seconds for which the result is kept, fractions allowed; 0: it is not
            kept; None: as the feed is configured, by itself not.
        :return: fires None; fails with
            :class:`~txthoonk.errors.JobNotClaimed`,
            :class:`~txthoonk.errors.InvalidInput` or
            :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        id_, token = self._held(id_)
        words = self._to_finish(id_, token, result, timeout)
        called = self._finish_many([words], 0)
        return called.addCallback(self._is_finished, words)

    def _to_finish(
        self, id_: str, token: str, result: Any, timeout: float | None = None
    ) -> tuple[Any, ...]:
        """Give the words of the script for one job."""
        keep: str | int = ""
        if timeout is not None:
            keep = math.ceil(check_seconds(timeout, "the time to keep a result") * 1000)
        told = int(self._results.wanted(id_))
        if result is NO_RESULT:
            return id_, token, keep, told, 0, ""
        stored = self._dumps(result)
        if isinstance(stored, str):
            stored = encode(stored, TEXT)  # what cannot be sent must not hold up others
        refusal = self.pub.redis.limits.refusal(len(stored), 0, "a result")
        if refusal is not None:
            raise refusal
        return id_, token, keep, told, 1, stored

    def _finish_many(self, jobs: Sequence[tuple[Any, ...]], claim: int) -> Deferred[list[Any]]:
        """Finish jobs, and claim the next ones.

        :param jobs: what :meth:`_to_finish` gave.
        :return: fires the reply of the script.
        """
        kept = [kept_result_key(self.name, job[0]) for job in jobs]
        prefix = _FINISH.prefix((*self._finish_keys, *kept), *self._finish_words)
        words = [word for job in jobs for word in job]
        command = (*prefix, claim, self._forgetting.wanted(), *words)
        return self.pub.redis.call(_FINISH, command, RAW).addCallback(self._found_old)

    def _found_old(self, reply: list[Any]) -> list[Any]:
        with parsing:
            old = [to_text(id_) for id_ in reply[4]]
        self._forgetting.found(old)
        return reply

    def _forget(self, ids: list[str]) -> Deferred[list[str]]:
        keys = [kept_result_key(self.name, id_) for id_ in ids]
        prefix = _FORGET.prefix((self.feed_config, self.feed_items, self.feed_results, *keys))
        return self.pub.redis.call(_FORGET, (*prefix, MOST, *ids), TEXT)

    def _is_finished(self, reply: list[Any], words: tuple[Any, ...]) -> None:
        with parsing:
            status = reply[2][0]
        self._said(words, status)

    def _said(self, words: tuple[Any, ...], status: int | bytes) -> None:
        """Learn what became of a finish.

        :raises JobNotClaimed: if nothing did.
        """
        id_, token, _, _, has_result, result = words
        if status != 1:
            self._claims.lost(id_, token)
            raise from_reply(to_text(status))
        self._claims.ended(id_, token)
        # Who waits on this publisher need not wait for the message.
        if has_result:
            self._results.finished(id_, result)
        self._results.gone(id_)

    @deferring
    def get_result(self, id_: str, timeout: float = 0) -> Deferred[tuple[Any, Any]]:
        """Read the result of a job, or wait until it is finished.

        Reading does not consume.  All who wait on this publisher share one connection.
        Nothing tells of a job that another publisher retracts, or that thoonk.py finishes
        without a result: that is waited for in vain.

        :param timeout: seconds to wait, fractions allowed; 0: for ever.
        :return: fires (item, result), the item None if an older implementation did not
            keep it; fails with
            :class:`~txthoonk.errors.Empty` after *timeout*, or at once if the job ends
            without a result, or is gone and no result was kept; with
            :class:`~txthoonk.errors.InvalidItem` if the serializer cannot read them, or
            with :class:`~txthoonk.errors.InvalidInput`.
        """
        id_ = check_id(id_)
        waiting = self._results.wait(id_, check_seconds(timeout, "a timeout"))
        return waiting.addCallback(self._load_result, id_)

    def _load_result(self, found: tuple[bytes | None, Any], id_: str) -> tuple[Any, Any]:
        item, result = found
        return None if item is None else self._load_bytes(item, id_), self._load_bytes(result, id_)

    @deferring
    def wait(self, id_: str, timeout: float = 0) -> Deferred[Any]:
        """Wait until a job is finished.

        Nothing tells of a job that another publisher retracts, drains, or lets maintenance
        retract: that is waited for in vain.

        :param timeout: seconds to wait, fractions allowed; 0: for ever.
        :return: fires its result, None if it has none (also if it is retracted here);
            fails with
            :class:`~txthoonk.errors.JobStalled`, with the failure, if it is stalled,
            :class:`~txthoonk.errors.Empty` after *timeout*, or at once if there is no such
            job, and no result of it is kept (also if it ended while a connection was lost), and
            with :class:`~txthoonk.errors.InvalidItem` or
            :class:`~txthoonk.errors.InvalidInput`.
        """
        id_ = check_id(id_)
        waiting = self._results.wait(id_, check_seconds(timeout, "a timeout"), until_end=True)
        return waiting.addCallbacks(self._load_end, self._stalled, (id_,), {}, (id_,), {})

    def _load_end(self, found: tuple[bytes | None, bytes | None], id_: str) -> Any:
        return None if found[1] is None else self._load_bytes(found[1], id_)

    def _stalled(self, reason: Failure, id_: str) -> Any:
        reason.trap(JobStalled)

        def with_failure(failure: Any) -> Any:
            raise JobStalled(
                f"job {id_!r} of feed {self.name!r} is stalled"
                + (f": {failure.type}: {failure.message}" if failure else ""),
                failure,
            )

        # The connection may be lost just then; it is stalled, whatever it was that failed.
        return self.get_failure(id_).addErrback(lambda _: None).addCallback(with_failure)


@parses
def _listened(reply: list[Any]) -> tuple[int, list[str]]:
    return int(reply[0]), reply[1:]


class _Calls:
    """The scripts of those who wait for results of a feed."""

    def __init__(self, job: JobResults) -> None:
        self._redis = job.pub.redis
        self._name = job.name
        self._who = job.pub._uuid
        self._items, self._later = job.feed_items, job.feed_later
        self._results, self._stalled = job.feed_results, job.feed_stalled
        self._listeners = job.feed_listeners

    def look(self, id_: str, noted: bytes, wanted: float) -> Deferred[list[bytes]]:
        """Read the result of a job, and note that it is wanted, or take a note back."""
        kept = kept_result_key(self._name, id_)
        keys = (self._items, self._results, kept, self._later, self._stalled)
        words = (round(wanted * 1000), noted)
        return self._redis.call(_RESULT, (*_RESULT.prefix(keys, id_), *words), RAW)

    def listen(
        self, ids: Iterable[str], lease: float, most: int, wanted: float
    ) -> Deferred[tuple[int, list[str]]]:
        """Say that results are waited for, and note that those of some jobs are wanted."""
        keys = (self._listeners, self._items, self._later, self._results)
        words = (self._who, round(lease * 1000), most, round(wanted * 1000), *ids)
        called = self._redis.call(_LISTEN, (*_LISTEN.prefix(keys), *words), TEXT)
        return called.addCallback(_listened)

    def leave(self) -> Deferred[Any]:
        """Say that the results of all jobs are not listened to any more."""
        return self._redis.request(("ZREM", self._listeners, self._who), TEXT)

    def pass_on(self, results: Mapping[str, bytes | None]) -> Deferred[list[str]]:
        """Tell results that others have told, or find out which of them are wanted."""
        kept = [kept_result_key(self._name, id_) for id_ in results]
        keys = (self._items, self._later, self._results, *kept)
        words: list[Any] = [ended_channel(self._name)]
        for id_, result in results.items():
            words += (id_, int(result is not None), result or b"")
        return self._redis.call(_PASS_ON, (*_PASS_ON.prefix(keys), *words), TEXT)
