"""Jobs that expired before they were claimed: no get receives them, and they are stalled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk.consumers._claims import Claims
from txthoonk.errors import ConnectionLost, JobNotClaimed, shown
from txthoonk.types._base import to_text
from txthoonk.wire._job_options import load_claim_options
from txthoonk.wire._job_records import dump_failure

__all__ = ["EXPIRED", "Expiry"]

#: The recorded failure of a job that has expired.
EXPIRED = dump_failure("no worker claimed the job before it expired", "Expired")


class Expiry:
    """Stalls the expired jobs of one feed that gets have claimed.

    :param stall: stalls a job, from id, token and failure as JSON.
    """

    _log = Logger()

    def __init__(
        self, stall: Callable[[str, str, str], Deferred[None]], claims: Claims, name: str
    ) -> None:
        self._stall = stall
        self._claims = claims
        self._name = name

    def refuses(self, time: bytes, parts: Sequence[Any]) -> bool:
        """Return whether a claimed job has expired; then it is stalled.

        :param time: the time of its claim.
        :param parts: its id, its item, and the rest of the reply.
        """
        if type(parts[2]) is not bytes:
            return False
        _, options = load_claim_options(parts[2])
        if options is None or not options.expired:
            return False
        id_ = to_text(parts[0])
        self._log.info("job {id} of feed {name!r} has expired", id=shown(id_), name=self._name)
        token = self._claims.made(id_, to_text(time))
        self._claims.ended(id_, token)
        self._stall(id_, token, EXPIRED).addErrback(self._not_stalled)
        return True

    def _not_stalled(self, reason: Failure) -> None:
        if reason.check(ConnectionLost):
            self._claims.doubt()  # then the job goes back into the line, and has still expired
        elif not reason.check(JobNotClaimed):
            self._log.failure("an expired job of {name!r} stays claimed", reason, name=self._name)
