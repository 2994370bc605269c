"""What happens to a claim: it is renewed, it reports progress, and it ends without a result."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txthoonk._support._replies import parses
from txthoonk.consumers._claims import Claims
from txthoonk.errors import InvalidType, JobNotClaimed, shown
from txthoonk.protocol._encoding import TEXT
from txthoonk.wire._checks import check_seconds
from txthoonk.wire._job_records import dump_failure, dump_progress
from txthoonk.wire._scripts import Command, Script, load

if TYPE_CHECKING:
    from txthoonk.types._interfaces import Publisher

__all__ = ["Claiming", "none"]

_CANCEL = load("job/cancel")
_STALL = load("job/stall")
_FAIL = load("job/fail")
_RENEW = load("job/renew")
_PROGRESS = load("job/progress")


class Claiming:
    """The claims on the jobs of one feed.  :class:`txthoonk.types.Job` documents the verbs.

    A claim is given by the id of the job and the token of the claim; an empty token means any
    claim on the job.

    :param claims: remembers the claims of this publisher.
    """

    def __init__(self, pub: Publisher, name: str, claims: Claims) -> None:
        self._pub = pub
        self._claims = claims
        self._cancel = _CANCEL.bind(name)
        self._stall = _STALL.bind(name)
        self._fail = _FAIL.bind(name)
        self._renew = _RENEW.bind(name)
        self._progress = _PROGRESS.bind(name)

    def cancel(self, id_: str, token: str) -> Deferred[None]:
        """Give a job back with one more failure."""
        return self._end(_CANCEL, self._cancel, id_, token).addCallback(none)

    def stall(self, id_: str, token: str, reason: str | None) -> Deferred[None]:
        """Stall a job."""
        if reason is not None and not isinstance(reason, str):
            raise InvalidType(f"a reason must be a str: {shown(reason)}")
        why = "" if reason is None else dump_failure(reason)
        return self.end_stalled(id_, token, why)

    def end_stalled(self, id_: str, token: str, why: str) -> Deferred[None]:
        """Stall a job.

        :param why: the failure to record, as JSON; empty: the recorded one stays.
        """
        return self._end(_STALL, self._stall, id_, token, why).addCallback(none)

    def fail(
        self, id_: str, token: str, error: BaseException | Failure | str, delay: float
    ) -> Deferred[str]:
        """Give a job back and record its failure."""
        if not isinstance(error, (BaseException, Failure, str)):
            raise InvalidType(f"an error must be an exception, a Failure or a str: {shown(error)}")
        seconds = check_seconds(delay, "a delay")
        words = (dump_failure(error, "Failed"), math.ceil(seconds * 1000))
        state: Deferred[list[Any]] = self._end(_FAIL, self._fail, id_, token, *words)
        return state.addCallback(_state)

    def release(self, id_: str, token: str) -> Deferred[bool]:
        """Give a job back as if it had not been claimed."""
        return self._claims.release([(id_, token)]).addCallback(bool)

    def renew(self, id_: str, token: str) -> Deferred[None]:
        """Restart the clock of a claim."""
        command = (*self._renew, id_, token)
        return self._pub.redis.call(_RENEW, command, TEXT).addCallback(none)

    def progress(
        self, id_: str, token: str, done: float, total: float | None, note: str | None
    ) -> Deferred[None]:
        """Record the progress of a job."""
        command = (*self._progress, id_, token, dump_progress(done, total, note))
        return self._pub.redis.call(_PROGRESS, command, TEXT).addCallback(none)

    def _end(self, script: Script, prefix: Command, *words: Any) -> Deferred[Any]:
        """Call a script that ends a claim.

        :param words: id, token, and the other arguments of the script.
        """
        called = self._pub.redis.call(script, (*prefix, *words), TEXT)
        return called.addCallbacks(
            self._ended, self._not_ended, callbackArgs=words[:2], errbackArgs=words[:2]
        )

    def _ended(self, reply: Any, id_: str, token: str) -> Any:
        self._claims.ended(id_, token)
        return reply

    def _not_ended(self, reason: Failure, id_: str, token: str) -> Failure:
        if reason.check(JobNotClaimed):
            self._claims.lost(id_, token)
        return reason


@parses
def _state(reply: list[Any]) -> str:
    state: str = reply[0]
    return state


def none(_: object) -> None:
    """Let a Deferred fire None."""
