"""The keys and channels of a job feed, and who holds its jobs."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from txthoonk.consumers._claims import Claims
from txthoonk.consumers._deadlines import MOST, Timekeeper
from txthoonk.consumers._pool import WaitingRoom
from txthoonk.errors import JobNotClaimed
from txthoonk.job._claim import Claim
from txthoonk.job._recoverer import JobPass
from txthoonk.protocol._encoding import TEXT
from txthoonk.types._taken import TakenFeed
from txthoonk.wire._keys import check_id, feed_channel, feed_key, job_finish_channel
from txthoonk.wire._scripts import Script, load

if TYPE_CHECKING:
    from txthoonk.consumers._interfaces import Publisher

__all__ = ["JobBase"]

_DUE = load("job/due")


class JobBase(TakenFeed):
    """What the verbs of jobs stand on; see :class:`txthoonk.types.Job`."""

    _KINDS = ("put", "claim", "cancel", "stall", "retry", "finish", "finished", "edit", "progress")
    _KIND = "job"
    _RESTORE = "LPUSH"

    def __init__(self, pub: Publisher, name: str, serializer: str = "text") -> None:
        super().__init__(pub, name, serializer)
        self.feed_published = feed_key("published", name)
        self.feed_cancelled = feed_key("cancelled", name)
        self.feed_finishes = feed_key("finishes", name)
        self.feed_results = feed_key("results", name)
        self.feed_listeners = feed_key("listeners", name)
        self.feed_failures = feed_key("failures", name)
        self.feed_progress = feed_key("progress", name)
        self.feed_delayed = feed_key("delayed", name)
        self.feed_later = feed_key("later", name)
        self.feed_failed = feed_key("failed", name)
        self.feed_workers = feed_key("workers", name)
        self.feed_overdue = feed_key("overdue", name)
        self.channel_put = feed_channel("publishes", name)
        self.channel_claim = feed_channel("claimed", name)
        self.channel_cancel = feed_channel("cancelled", name)
        self.channel_stall = feed_channel("stalled", name)
        self.channel_retry = feed_channel("retried", name)
        self.channel_finish = job_finish_channel(name)
        self.channel_finished = feed_channel("finishes", name)
        self.channel_edit = feed_channel("edit", name)
        self.channel_progress = feed_channel("progress", name)
        self.channel_delayed = feed_channel("delayed", name)
        room = pub.waiting_room
        self._claims = room.claims(name, self._make_claims)
        self._timekeeper = room.timekeeper(name, self._make_timekeeper)

    def _make_claims(self, room: WaitingRoom) -> Claims:
        claim = (self.feed_claimed, self.feed_claims, self.feed_progress)
        keys = (*self._keys, self.feed_ids, *claim)
        return Claims(room, keys, (*self._words, self.channel_retry), self.pub._uuid)

    def _make_timekeeper(self, room: WaitingRoom) -> Timekeeper:
        def expire() -> Coroutine[Any, Any, int | None]:
            return JobPass(self, self._RESTORE).expire()

        return Timekeeper(room, self.name, self._look_due, expire)

    def _look_due(self) -> Deferred[list[Any]]:
        keys = (
            *self._keys,
            self.feed_ids,
            self.feed_published,
            self.feed_claimed,
            self.feed_cancelled,
            self.feed_delayed,
            self.feed_later,
        )
        command = _DUE.prefix(keys, *self._words, self.channel_put, self.channel_retry)
        return self.pub.redis.call(_DUE, (*command, MOST), TEXT)

    # -- claims -------------------------------------------------------------------

    def _held(self, id_: str | Claim) -> tuple[str, str]:
        """Give the id of a job, and the token of the claim that is meant, if one is."""
        if isinstance(id_, Claim):
            return id_.id, id_.token
        id_ = check_id(id_)
        return id_, self._claims.token(id_)

    def _end(self, script: Script, prefix: tuple[str | int, ...], *words: Any) -> Deferred[Any]:
        """Call a script that ends a claim.

        :param words: id, token, and what else the script takes.
        """
        called = self.pub.redis.call(script, (*prefix, *words), TEXT)
        return called.addCallbacks(
            self._ended, self._not_ended, callbackArgs=words[:2], errbackArgs=words[:2]
        )

    def _ended(self, reply: Any, id_: str, token: str) -> Any:
        self._claims.ended(id_, token)
        return reply

    def _not_ended(self, reason: Any, id_: str, token: str) -> Any:
        if reason.check(JobNotClaimed):
            self._claims.lost(id_, token)
        return reason
