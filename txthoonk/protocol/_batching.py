"""Calls of one script or command, made in one turn of the reactor, that are sent as one call.

A script that takes groups of arguments does them one after the other, and answers each for
itself; so does HMGET.  A call costs Redis little more than its own work then, and not what
every call of a script costs besides; and it costs us less.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txthoonk.errors import InvalidResponse, shown
from txthoonk.protocol._encoding import TEXT, Encoding
from txthoonk.wire._scripts import Script

__all__ = ["MORE", "MOST_BYTES", "Rests", "Together", "only"]

#: What stands behind the answers of a script that has left something to its ``rest``.
MORE = "MORE"

MOST_CALLS = 25
MOST_BYTES = 64 * 1024  # of arguments; and one call more


class Together:
    """Some calls with the same prefix.

    :ivar script: what they call; None: a command.
    :ivar prefix: the words before the groups.
    :ivar encoding: how to decode the replies.

    :param refused: is called with each answer that is an error, before the caller gets it.
    """

    def __init__(
        self,
        script: Script | None,
        prefix: tuple[Any, ...],
        encoding: Encoding,
        refused: Callable[[Exception], object] = lambda _: None,
    ) -> None:
        self.script = script
        self.prefix = prefix
        self.encoding = encoding
        self._refused = refused
        self._groups: list[tuple[Any, ...]] = []
        self._calls: list[Deferred[Any]] = []
        self._bytes = 0

    @property
    def full(self) -> bool:
        """Whether it should be sent without more."""
        return len(self._calls) >= MOST_CALLS or self._bytes >= MOST_BYTES

    @property
    def calls(self) -> int:
        """How many there are."""
        return len(self._calls)

    def add(self, group: tuple[Any, ...], size: int) -> Deferred[Any]:
        """Take one more call.

        :param size: how long the group is.
        :return: fires the answer for this call.
        """
        self._groups.append(group)
        self._bytes += size
        call: Deferred[Any] = Deferred()
        self._calls.append(call)
        return call

    @property
    def command(self) -> tuple[Any, ...]:
        """The words of all."""
        return (*self.prefix, *chain.from_iterable(self._groups))

    def send_each(self, send: Callable[[tuple[Any, ...]], Deferred[Any]]) -> None:
        """Send each for itself, because something among them cannot be sent."""
        # All are sent before anybody is told: who is told may call more.
        sent = [send(group) for group in self._groups]
        for one, call in zip(sent, self._calls, strict=True):
            one.chainDeferred(call)

    def answered(self, answers: Any) -> None:
        """Answer all calls."""
        if not isinstance(answers, list) or len(answers) != len(self._calls):
            many = len(self._calls)
            self.failed(Failure(InvalidResponse(f"not {many} answers: {shown(answers)}")))
            return
        for call, answer in zip(self._calls, answers, strict=True):
            if isinstance(answer, Exception):
                self._refused(answer)
                call.errback(answer)
            else:
                call.callback(answer)

    def failed(self, reason: Failure) -> None:
        """Fail all calls."""
        for call in self._calls:
            call.errback(Failure(reason.value))


def only(answers: Any, refused: Callable[[Exception], object] = lambda _: None) -> Any:
    """Give the answer of a call that was alone; see :class:`Together`."""
    if not isinstance(answers, list) or len(answers) != 1:
        raise InvalidResponse(f"not one answer: {shown(answers)}")
    if isinstance(answers[0], Exception):
        refused(answers[0])
        raise answers[0]
    return answers[0]


class Rests:
    """Has done what scripts have left undone: of each one after the other, once for all callers.

    :param call: calls a script with a command.
    """

    def __init__(self, call: Callable[[Script, tuple[Any, ...], Encoding], Deferred[Any]]) -> None:
        self._call = call
        self._waiting: dict[tuple[Any, ...], list[Deferred[None]]] = {}

    def after(self, answers: Any, calls: int, rest: Script, prefix: tuple[Any, ...]) -> Any:
        """Give the answers of calls, at once or when nothing is left undone.

        :param calls: how many there are.
        :param prefix: what the calls have begun with.
        """
        if not isinstance(answers, list) or len(answers) != calls + 1 or answers[-1] != MORE:
            return answers
        return self._done(rest, prefix).addCallback(lambda _: answers[:-1])

    def _done(self, rest: Script, prefix: tuple[Any, ...]) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        if prefix in self._waiting:
            self._waiting[prefix].append(done)
            return done
        self._waiting[prefix] = [done]
        doing = Deferred.fromCoroutine(self._do(rest, ("EVALSHA", rest.sha, *prefix[2:])))
        # If that fails, the next call has it done: what was called is done already.
        doing.addErrback(lambda _: None).addCallback(self._tell, prefix)
        return done

    async def _do(self, rest: Script, command: tuple[Any, ...]) -> None:
        while await self._call(rest, command, TEXT) == MORE:
            pass

    def _tell(self, _: None, prefix: tuple[Any, ...]) -> None:
        for done in self._waiting.pop(prefix):
            done.callback(None)
