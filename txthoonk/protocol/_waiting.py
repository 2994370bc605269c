"""The entries of the reply queue."""

from __future__ import annotations

from typing import Any

from txthoonk._support._awaiting import AwaitableDeferred
from txthoonk.protocol._encoding import Encoding
from txthoonk.wire._scripts import Script

__all__ = ["Waiting"]


class Waiting(AwaitableDeferred[Any]):
    """A Deferred in the reply queue, and what is needed to handle its reply.

    :cvar encoding: how to decode the reply; None: as the connection does.
    :cvar script: the script that the request calls, if it calls one.
    :cvar command: the request, in case it must be sent again.
    :cvar confirmations: how many confirmations a SUBSCRIBE or the like still waits for.
    :cvar calls: how many calls the reply is for.
    :cvar size: of a big request, the bytes of its longest word and the number of its words.
    """

    encoding: Encoding | None = None
    script: Script | None = None
    command: tuple[Any, ...] = ()
    confirmations: int = 0
    calls: int = 1
    size: tuple[int, int] | None = None
