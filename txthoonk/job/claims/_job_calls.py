"""What a worker calls on a job feed, beyond the public methods of :class:`txthoonk.types.Job`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import attr
from twisted.internet.defer import Deferred

__all__ = ["JobCalls"]

AnyClaim = TypeVar("AnyClaim")

Words = tuple[Any, ...]


@attr.frozen(eq=False)
class JobCalls(Generic[AnyClaim]):
    """The calls on one job feed; ``txthoonk.job._job.calls_of`` makes the record.

    :ivar words: builds the arguments of ``job/finish`` from id, token and result.
    :ivar finish_many: finishes jobs, given by their ``words``, and claims some others.
    :ivar answered: takes the answer to a finish, from its ``words`` and the status.
    :ivar again: builds the ``words`` of a finish again, when the feed's serializer has changed.
    :ivar claimed: makes a claim from id, item, number of cancellations or
        options, and time.
    :ivar held: returns the id of a job and the token of its claim.
    :ivar stall: stalls a job, from id, token and failure as JSON.
    :ivar release: releases jobs, given by id and token; the last one is claimed again first.
    :ivar ended: forgets a claim that has ended, from id and token.
    :ivar lost: forgets a claim that was lost, from id and token.
    :ivar doubt: notes that the answer to a call that claims was lost.
    """

    words: Callable[[str, str, Any], Words]
    finish_many: Callable[[Sequence[Words], int], Deferred[list[Any]]]
    answered: Callable[[Words, int | bytes], None]
    again: Callable[[Words], Words]
    claimed: Callable[[str, bytes, int | bytes, str], AnyClaim]
    held: Callable[[str], tuple[str, str]]
    stall: Callable[[str, str, str], Deferred[None]]
    release: Callable[[list[tuple[str, str]]], Deferred[int]]
    ended: Callable[[str, str], None]
    lost: Callable[[str, str], None]
    doubt: Callable[[], None]
