"""Records that methods fire: the last failure of a job, and its progress."""

from __future__ import annotations

from typing import NamedTuple

import attr

__all__ = ["JobFailure", "Progress"]


@attr.frozen
class JobFailure:
    """The last failure of a job.

    :ivar id: the job's id.
    :ivar type: the name of the error's class; ``Timeout`` if the claim was not renewed;
        ``Stall`` or ``Failed`` if the job was stalled or failed with a reason in words.
    :ivar message: the error's text.
    :ivar traceback: the traceback as text; empty if there is none.
    :ivar count: how many claims of the job have failed, including this one.
    :ivar time: when it failed, by the server's clock, in seconds since 1970.
    """

    id: str
    type: str
    message: str
    traceback: str
    count: int
    time: float


class Progress(NamedTuple):
    """The progress of a job.

    :ivar done: the amount that is done.
    :ivar total: the whole amount; None if it is not known.
    :ivar note: a description of the present step; None if there is none.
    """

    done: float
    total: float | None = None
    note: str | None = None
