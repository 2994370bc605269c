"""Big commands of one connection: those for which the server might hang up are not sent.

See :mod:`txthoonk.protocol._limits` for what a server takes.  The first big command has the
connection ask for that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from txthoonk.protocol._encoding import RAW, Encoding, encode
from txthoonk.protocol._limits import LEAST, Limits
from txthoonk.protocol._waiting import Waiting

__all__ = ["Sizes"]


class Sizes:
    """See the module.

    :ivar asked: whether the server was asked what it takes.

    :param pending: the reply queue.
    :param request: sends a command.
    :param write_to: has all that is sent go to a function; None: to the transport again.
    :param limits: gives what the server takes, as far as is known.
    :param usable: tells whether the connection is there.
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
        """Whether all that is sent is held until the server has answered."""
        return self._held is not None

    def refuses(
        self, waiting: Waiting, command: tuple[Any, ...], encoding: Encoding, ask: bool
    ) -> bool:
        """Fail a command for which the server would hang up; ask first what it takes.

        While the answer is under way, all is held, so that the order stays.

        :param ask: whether the server may be asked now.
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
        """Send what was held, without what the server would hang up for."""
        held, self._held = self._held, None
        if held is None or not self._usable():
            return
        limits = self._limits()
        limits.learn(answers)
        refused = []
        waiting = list(self._pending)
        self._pending.clear()  # what is held are the writes of all that waits
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
