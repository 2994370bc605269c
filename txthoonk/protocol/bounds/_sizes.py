"""Refuses commands of one connection that are too big for its server.

See :mod:`txthoonk.protocol.bounds._limits`.  The connection asks for the limits before its first
big command.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from txthoonk.protocol._encoding import RAW, Encoding, encode
from txthoonk.protocol._waiting import Waiting
from txthoonk.protocol.bounds._limits import LEAST, Limits

__all__ = ["Sizes"]


class Sizes:
    """See the module.

    :ivar asked: whether the server was asked for its limits.

    :param pending: the reply queue.
    :param request: sends a command.
    :param write_to: sends everything to a function from now on; None: to the transport again.
    :param limits: returns the limits, as far as they are known.
    :param usable: returns whether the connection is usable.
    """

    def __init__(
        self,
        pending: deque[Waiting],
        request: Callable[[tuple[Any, ...], Encoding], Deferred[Any]],
        write_to: Callable[[Callable[[bytes], object] | None], Callable[[bytes], object]],
        limits: Callable[[], Limits],
        usable: Callable[[], bool],
    ) -> None:
        self._pending = pending
        self._request = request
        self._write_to = write_to
        self._limits = limits
        self._usable = usable
        self._held: list[bytes] | None = None
        self.asked = False

    @property
    def holds(self) -> bool:
        """Whether all requests are held until the server has given its limits."""
        return self._held is not None

    def refuses(
        self, waiting: Waiting, command: tuple[Any, ...], encoding: Encoding, ask: bool
    ) -> bool:
        """Fail a command that is too big, after asking for the limits.

        Until the server has answered, all requests are held, which keeps their order.

        :param ask: whether the server may be asked now.
        :return: whether the command failed and must not be sent.
        """
        word = max([len(encode(word, encoding)) for word in command])
        if word <= LEAST and len(command) <= LEAST:
            return False
        waiting.size = (word, len(command))
        if ask and not self.asked:
            self._ask()
        refusal = None if self.holds else self._limits().refusal(*waiting.size)
        if refusal is not None:
            waiting.errback(refusal)
        return refusal is not None

    def _ask(self) -> None:
        self.asked = True
        asked = [self._request(question, RAW) for question in Limits.QUESTIONS]
        gatherResults([one.addErrback(lambda why: why.value) for one in asked]).addCallback(
            self._answered
        )
        self._held = []
        self._write_to(self._held.append)

    def _answered(self, answers: list[Any]) -> None:
        """Send what was held, except the commands that are too big."""
        held, self._held = self._held, None
        if held is None or not self._usable():
            return
        limits = self._limits()
        limits.learn(answers)
        refused = []
        waiting = list(self._pending)
        self._pending.clear()  # held has one write for each of these, in the same order
        write = self._write_to(None)
        for one, packed in zip(waiting, held, strict=True):
            refusal = one.size and limits.refusal(*one.size)
            if refusal:
                refused.append((one, refusal))
            else:
                self._pending.append(one)
                write(packed)
        for one, refusal in refused:
            one.errback(refusal)
