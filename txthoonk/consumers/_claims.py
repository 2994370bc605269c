"""The claims that a publisher has on the jobs of one feed.

The token of a claim contains the publisher and the time of the claim.  When a claim is lost, by
a timeout or otherwise, its token is no longer valid, even if the same publisher claims the job
again.

A lost connection can lose an answer that contained claims: no handler would work on these jobs.
The publisher looks for such claims on the next connection, and releases them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk.errors import ConnectionLost, ThoonkError
from txthoonk.protocol._encoding import TEXT
from txthoonk.protocol.bounds._slices import scan
from txthoonk.wire._scripts import load

if TYPE_CHECKING:
    from txthoonk.consumers._interfaces import Room

__all__ = ["Claims"]

_OWNED = load("job/owned")
_RELEASE = load("job/release")

MOST = 100_000  # tokens to remember; the oldest are forgotten
MOST_LOST = 10_000  # tokens of lost claims to remember
SLICE = 500  # claims that one call releases


class Claims:
    """The claims of one publisher on the jobs of one feed.

    :ivar owner: identifies the publisher; every token begins with it.
    :ivar tokens: id -> token, of the claims that this publisher made and that have not ended.

    :param name: the name of the feed.
    """

    _log = Logger()

    def __init__(self, room: Room, name: str, owner: str) -> None:
        self._room = room
        self.owner = owner
        self.tokens: dict[str, str] = {}
        self._lost: dict[str, str] = {}
        self._forgetful = False  # whether a claim of this publisher may be missing in tokens
        self._release = _RELEASE.bind(name)
        self._owned = _OWNED.bind(name, owner=owner)
        self._name = name

    def made(self, id_: str, time: str) -> str:
        """Remember a claim, and return its token."""
        token = f"{self.owner}:{time}"
        self.tokens.pop(id_, None)
        self._lost.pop(id_, None)
        if len(self.tokens) >= MOST:
            del self.tokens[next(iter(self.tokens))]
            self._forgetful = True
        self.tokens[id_] = token
        return token

    def token(self, id_: str) -> str:
        """Return the token of this publisher's last claim on a job; empty if it made none."""
        return self.tokens.get(id_) or self._lost.get(id_, "")

    def ended(self, id_: str, token: str) -> None:
        """Forget a claim."""
        if self.tokens.get(id_) == token:
            del self.tokens[id_]

    def lost(self, id_: str, token: str) -> None:
        """Record that a claim was lost; calls that name the job still mean this claim."""
        if self.tokens.get(id_) == token:
            del self.tokens[id_]
            if len(self._lost) >= MOST_LOST:
                del self._lost[next(iter(self._lost))]
            self._lost[id_] = token

    def release(self, claims: list[tuple[str, str]]) -> Deferred[int]:
        """Release jobs.

        :param claims: id and token of each; the last one is the first to be claimed again.
        """
        words = [word for claim in claims for word in claim]
        for claim in claims:
            self.ended(*claim)
        called = self._room.pub.redis.call(_RELEASE, (*self._release, *words), TEXT)
        return called.addErrback(self._not_released)

    def give_back(self, ids: list[bytes], time: bytes) -> None:
        """Release claimed jobs that no get waits for.

        :param ids: see :meth:`release`.
        :param time: the time of their claims.
        """
        token = f"{self.owner}:{time.decode()}"
        called = self.release([(id_.decode("utf-8", "surrogateescape"), token) for id_ in ids])
        called.addErrback(self._cannot_give_back)
        self._room.outages.follow(called)

    def _not_released(self, reason: Failure) -> Failure:
        if reason.check(ConnectionLost):
            self.doubt()
        return reason

    def _cannot_give_back(self, reason: Failure) -> None:
        if not reason.check(ConnectionLost):
            self._log.failure("claims of {name!r} were not given back", reason, name=self._name)

    # -- answers that were lost ---------------------------------------------------

    def doubt(self) -> None:
        """Note that the server may have made claims whose answer was lost."""
        self._room.outages.once(self.recover)

    def recover(self) -> None:
        """Release the jobs whose claims were in a lost answer."""
        Deferred.fromCoroutine(self._recover()).addErrback(self._cannot_recover)

    async def _recover(self) -> None:
        if self._forgetful:
            return
        count = 0

        async def step(cursor: str, most: int) -> tuple[str, int]:
            nonlocal count
            command = (*self._owned, cursor, most)
            cursor, size, flat = await self._room.pub.redis.call(_OWNED, command, TEXT)
            # Redis replies in the order of the calls, so every answered claim is known by now.
            owned = zip(flat[::2], flat[1::2], strict=True)
            lost = [claim for claim in owned if self.tokens.get(claim[0]) != claim[1]]
            for first in range(0, len(lost), SLICE):
                await self.release(lost[first : first + SLICE])
            count += len(lost)
            return cursor, size

        await scan(step)
        if count:
            self._log.info(
                "{count} claims on jobs of {name!r} were made while the connection was lost: "
                "given back",
                count=count,
                name=self._name,
            )

    def _cannot_recover(self, reason: Failure) -> None:
        if reason.check(ConnectionLost):
            self.doubt()
        elif reason.check(ThoonkError):
            self._log.warn(
                "claims of {name!r} cannot be given back: {error}",
                name=self._name,
                error=reason.getErrorMessage(),
            )
        else:
            self._log.failure("error while giving claims back", reason)
