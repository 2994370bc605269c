"""Finishing jobs, and removing the oldest results that a feed keeps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txthoonk._support._awaiting import AwaitableDeferred
from txthoonk._support._replies import parsing
from txthoonk.consumers._claims import Claims
from txthoonk.consumers._room import WaitingRoom
from txthoonk.consumers.results._result_trimming import MOST, Forgetting
from txthoonk.consumers.results._result_waiters import Results
from txthoonk.errors import InvalidInput, JobNotClaimed, SerializerChanged, from_reply
from txthoonk.job._no_result import NO_RESULT
from txthoonk.job._putting import NewJob, in_present_serializer, new_words
from txthoonk.protocol._encoding import RAW, TEXT, encode
from txthoonk.protocol.bounds._limits import LEAST
from txthoonk.types._base import to_text
from txthoonk.types._repeating import loaded
from txthoonk.wire._checks import check_seconds
from txthoonk.wire._scripts import load

if TYPE_CHECKING:
    from txthoonk.types._interfaces import Publisher
    from txthoonk.types._repeating import Repeating

__all__ = ["Finishing"]

_FINISH = load("job/finish")
_FINISH_THEN = load("job/finish_then")
_FORGET = load("job/forget")

_AS_STORED = "*"  # the script does not compare the serializer


class Finishing:
    """Finishes the jobs of one feed.

    :ivar forgetting: removes old results.

    :param results: the callers on this publisher that wait for results.
    :param serialized: returns the feed's serializer, and a result as it makes it.
    :param repeating: reads the serializer again when it has changed.
    :param follow: learns the serializer that a reply names.
    """

    def __init__(
        self,
        pub: Publisher,
        name: str,
        claims: Claims,
        results: Results,
        serialized: Callable[[Any], tuple[str, str | bytes]],
        repeating: Repeating,
        follow: Callable[[bytes | int], None],
    ) -> None:
        self._pub = pub
        self._name = name
        self._claims = claims
        self._results = results
        self._serialized = serialized
        self._repeating = repeating
        self._follow = follow
        self._begin = _FINISH.bind_each(feed=name, owner=claims.owner)
        self._begin_forget = _FORGET.bind_each(feed=name)
        self.forgetting = pub.waiting_room.forgetting(name, self._make_forgetting)

    def _make_forgetting(self, room: WaitingRoom) -> Forgetting:
        return Forgetting(room, self.forget)

    def finish(
        self, id_: str, token: str, result: Any, timeout: float | None, then: Sequence[NewJob]
    ) -> Deferred[None]:
        """Finish one job, and put others; see :meth:`txthoonk.types.Job.finish`."""
        words = self.words(id_, token, result, timeout)
        if then:
            finishing = self._finish_then(words, self._by_feed(then))
            return AwaitableDeferred.fromCoroutine(finishing)
        return self.many([words], 0).addCallback(self._is_finished, words)

    def _by_feed(self, jobs: Sequence[NewJob]) -> dict[str, list[NewJob]]:
        by_feed: dict[str, list[NewJob]] = {}
        for job in jobs:
            if job.pub is not self._pub:
                raise InvalidInput(
                    f"a job of feed {job.feed!r} was made by another connection, and one step "
                    f"needs the same: make it by the Thoonk of feed {self._name!r}"
                )
            by_feed.setdefault(job.feed, []).append(job)
        return by_feed

    async def _finish_then(self, words: tuple[Any, ...], by_feed: dict[str, list[NewJob]]) -> None:
        while True:
            try:
                await self._call_then(words, by_feed)
                return
            except SerializerChanged:
                jobs = [job for some in by_feed.values() for job in some]
                for repeating in {self._repeating, *[job.repeating for job in jobs]}:
                    await repeating.renew()
                words = self.again(words)
                by_feed = {
                    name: [in_present_serializer(job) for job in some]
                    for name, some in by_feed.items()
                }

    def _call_then(
        self, words: tuple[Any, ...], by_feed: dict[str, list[NewJob]]
    ) -> Deferred[None]:
        id_ = words[0]
        begun = _FINISH_THEN.bind_each(feed=self._name, id=id_)(by_feed)
        new = [word for name, some in by_feed.items() for word in new_words(name, some)]
        command = (*begun, self.forgetting.wanted(), *words, *new)
        called = self._pub.redis.call(_FINISH_THEN, command, TEXT)
        return called.addCallbacks(
            self._is_finished_then, self._not_finished_then, (words,), {}, (words,), {}
        )

    def _is_finished_then(self, old: list[str], words: tuple[Any, ...]) -> None:
        self.forgetting.found(old)
        self.answered(words, 1)

    def _not_finished_then(self, reason: Failure, words: tuple[Any, ...]) -> Failure:
        if reason.check(JobNotClaimed):
            self._claims.lost(*words[:2])
        return reason

    def words(
        self, id_: str, token: str, result: Any, timeout: float | None = None
    ) -> tuple[Any, ...]:
        """Return the arguments of the script for one job."""
        keep: str | int = ""
        if timeout is not None:
            keep = math.ceil(check_seconds(timeout, "the time to keep a result") * 1000)
        told = int(self._results.wanted(id_))
        if result is NO_RESULT:
            return id_, token, keep, told, "", ""
        serializer, stored = self._serialized(result)
        return id_, token, keep, told, serializer or _AS_STORED, self._checked(stored)

    def again(self, words: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the arguments for a job, with its result in the serializer that the feed has now.

        :raises InvalidInput: if that cannot take the result.
        """
        id_, token, keep, told, old, stored = words
        if old in ("", _AS_STORED):
            return words
        serializer, stored = self._serialized(loaded(stored, old))
        return id_, token, keep, told, serializer, self._checked(stored)

    def _checked(self, stored: str | bytes) -> bytes:
        if isinstance(stored, str):
            stored = encode(stored, TEXT)  # a result that cannot be sent must fail alone
        if len(stored) > LEAST:
            refusal = self._pub.redis.limits.refusal(len(stored), 0, "a result")
            if refusal is not None:
                raise refusal
        return stored

    def many(self, jobs: Sequence[tuple[Any, ...]], claim: int) -> Deferred[list[Any]]:
        """Finish jobs, and claim the next ones.

        :param jobs: the :meth:`words` of each.
        :param claim: the most jobs to claim.
        :return: fires the reply of the script.
        """
        begun = self._begin([job[0] for job in jobs])
        words = [word for job in jobs for word in job]
        command = (*begun, claim, self.forgetting.wanted(), *words)
        return self._pub.redis.call(_FINISH, command, RAW).addCallback(self._found_old)

    def _found_old(self, reply: list[Any]) -> list[Any]:
        with parsing:
            old = [to_text(id_) for id_ in reply[4]]
            self._follow(reply[1])
        self.forgetting.found(old)
        return reply

    def forget(self, ids: list[str]) -> Deferred[list[str]]:
        """Remove results of jobs that are gone.

        :return: fires the ids of further old results.
        """
        command = (*self._begin_forget(ids), MOST)
        return self._pub.redis.call(_FORGET, command, TEXT)

    def _is_finished(self, reply: list[Any], words: tuple[Any, ...]) -> Any:
        with parsing:
            status = reply[2][0]
        try:
            self.answered(words, status)
        except SerializerChanged:
            words = self.again(words)
            return self.many([words], 0).addCallback(self._is_finished, words)
        return None

    def answered(self, words: tuple[Any, ...], status: int | bytes) -> None:
        """Take the answer for one job.

        :param words: its :meth:`words`.
        :param status: 1, or the error.
        :raises JobNotClaimed: if the job was not finished.
        :raises SerializerChanged: if it was not, and can be finished with :meth:`again`.
        """
        id_, token, _, _, has_result, result = words
        if status != 1:
            error = from_reply(to_text(status))
            if not isinstance(error, SerializerChanged):
                self._claims.lost(id_, token)
            raise error
        self._claims.ended(id_, token)
        # Callers that wait on this publisher need not wait for the message.
        if has_result:
            self._results.finished(id_, result)
        self._results.gone(id_)
