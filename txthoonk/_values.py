"""Records that verbs fire: the last failure of a job, and its progress."""

from __future__ import annotations

from typing import NamedTuple

import attr

__all__ = ["JobFailure", "Progress"]


@attr.frozen
class JobFailure:
    """The last failure of a job.

    :ivar id: the job's id.
    :ivar type: the name of the error's class; ``Timeout`` if the claim was not renewed, and
        ``Stall`` if a worker gave the job up by itself.
    :ivar message: the error's text.
    :ivar traceback: where it was raised, as text; empty if that is not known.
    :ivar count: how many claims of the job have failed with this one.
    :ivar time: when it failed by the server's clock, in seconds since 1970.
    """

    id: str
    type: str
    message: str
    traceback: str
    count: int
    time: float


class Progress(NamedTuple):
    """How far a job is.

    :ivar done: how much is done.
    :ivar total: of how much; None if that is not known.
    :ivar note: what is being done, in words; None: not said.
    """

    done: float
    total: float | None = None
    note: str | None = None
