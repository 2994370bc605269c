"""Batching: calls of one script or command in one reactor turn are sent as one call.

A script that takes groups of arguments handles one group after the other and replies to each;
HMGET does the same with fields.  So a batch saves both sides the fixed cost of every call.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from txthoonk._support._awaiting import AwaitableDeferred
from txthoonk.errors import InvalidResponse, SerializerChanged, shown
from txthoonk.protocol._encoding import TEXT, Encoding
from txthoonk.protocol._interfaces import Repeater
from txthoonk.wire._scripts import Script

__all__ = ["MORE", "MOST_BYTES", "Rests", "Together", "again", "only"]

#: The last element of a script's reply when it left work to its ``rest``.
MORE = "MORE"

MOST_CALLS = 25
MOST_BYTES = 64 * 1024  # of arguments; the call that reaches this is the last of its batch


class Together:
    """A batch of calls with the same prefix.

    :ivar script: the script that they call; None for a command.
    :ivar prefix: the words before the groups.
    :ivar encoding: how to decode the replies.
    :ivar repeater: sends the calls again if the feed's serializer has changed; None: they fail.

    :param refused: called with each reply that is an error, before the caller gets it.
    """

    def __init__(
        self,
        script: Script | None,
        prefix: tuple[Any, ...],
        encoding: Encoding,
        refused: Callable[[Exception], object] = lambda _: None,
        repeater: Repeater | None = None,
    ) -> None:
        self.script = script
        self.prefix = prefix
        self.encoding = encoding
        self._refused = refused
        self.repeater = repeater
        self._groups: list[tuple[Any, ...]] = []
        self._calls: list[Deferred[Any]] = []
        self._bytes = 0

    @property
    def full(self) -> bool:
        """Whether the batch should take no more calls."""
        return len(self._calls) >= MOST_CALLS or self._bytes >= MOST_BYTES

    @property
    def calls(self) -> int:
        """The number of calls in the batch."""
        return len(self._calls)

    def add(self, group: tuple[Any, ...], size: int) -> Deferred[Any]:
        """Add a call.

        :param size: the length of the group in bytes or characters.
        :return: fires the reply to this call.
        """
        self._groups.append(group)
        self._bytes += size
        call: Deferred[Any] = AwaitableDeferred()
        self._calls.append(call)
        return call

    @property
    def command(self) -> tuple[Any, ...]:
        """The words of the whole batch."""
        return (*self.prefix, *chain.from_iterable(self._groups))

    def send_each(self, send: Callable[[tuple[Any, ...]], Deferred[Any]]) -> None:
        """Send each call by itself, because one of them cannot be encoded."""
        # Send all before any Deferred fires: its callback may make new calls.
        sent = [send(group) for group in self._groups]
        for one, call in zip(sent, self._calls, strict=True):
            one.chainDeferred(call)

    def answered(self, answers: Any) -> None:
        """Fire every call with its reply."""
        if not isinstance(answers, list) or len(answers) != len(self._calls):
            text = f"expected a list of {len(self._calls)} replies, not {shown(answers)}"
            self.failed(Failure(InvalidResponse(text)))
            return
        for call, answer in zip(self._calls, answers, strict=True):
            if isinstance(answer, Exception):
                self._refused(answer)
                call.errback(answer)
            else:
                call.callback(answer)

    def failed(self, reason: Failure) -> None:
        """Fail all calls, or have them sent again."""
        script, prefix, repeater = self.script, self.prefix, self.repeater
        for group, call in zip(self._groups, self._calls, strict=True):
            again(Failure(reason.value), repeater, script, prefix, group).chainDeferred(call)


def again(
    reason: Failure,
    repeater: Repeater | None,
    script: Script | None,
    prefix: tuple[Any, ...],
    group: tuple[Any, ...],
) -> Deferred[Any]:
    """Have a call that failed sent again if the feed's serializer has changed.

    :return: fires the reply; fails with *reason* if nothing is sent again.
    """
    if repeater is None or script is None or not reason.check(SerializerChanged):
        return fail(reason)
    return repeater.repeat(script, prefix, group)


def only(answers: Any, refused: Callable[[Exception], object] = lambda _: None) -> Any:
    """Return the reply to a call that was sent alone; see :class:`Together`."""
    if not isinstance(answers, list) or len(answers) != 1:
        raise InvalidResponse(f"expected a list of one reply, not {shown(answers)}")
    if isinstance(answers[0], Exception):
        refused(answers[0])
        raise answers[0]
    return answers[0]


class Rests:
    """Calls the ``rest`` scripts for the work that scripts left undone.

    A ``rest`` runs once for all callers with the same prefix, until nothing is left.

    :param call: calls a script with a command.
    """

    def __init__(self, call: Callable[[Script, tuple[Any, ...], Encoding], Deferred[Any]]) -> None:
        self._call = call
        self._waiting: dict[tuple[Any, ...], list[Deferred[None]]] = {}

    def after(self, answers: Any, calls: int, rest: Script, prefix: tuple[Any, ...]) -> Any:
        """Return the replies, or a Deferred that fires them when no work is left.

        :param calls: the number of calls.
        :param prefix: the words that the calls began with.
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
        # If the rest fails, the calls are still done, and the next call runs it again.
        doing.addErrback(lambda _: None).addCallback(self._fire, prefix)
        return done

    async def _do(self, rest: Script, command: tuple[Any, ...]) -> None:
        while await self._call(rest, command, TEXT) == MORE:
            pass

    def _fire(self, _: None, prefix: tuple[Any, ...]) -> None:
        for done in self._waiting.pop(prefix):
            done.callback(None)
