"""Repeats the calls that a feed refused because its serializer has changed.

A script that stores items compares the serializer that the caller used with the feed's, and
refuses the call if they differ.  Then the feed object reads the configuration again.  Until it has
done so, its later calls wait here, so the order of its calls stays.  Redis replies in the order
of the requests: with the configuration, all calls that were sent before are answered, too.  Those
of them that were refused come before the calls that were made meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from txthoonk._support._awaiting import AwaitableDeferred
from txthoonk._support._deferreds import passing
from txthoonk.errors import SerializerChanged
from txthoonk.protocol._encoding import TEXT, Encoding
from txthoonk.serializers import get_serializer

if TYPE_CHECKING:
    from txthoonk.consumers._interfaces import Sender
    from txthoonk.wire._scripts import Script

__all__ = ["Repeating", "loaded"]

T = TypeVar("T")
Words = tuple[Any, ...]
Held = deque[tuple[Callable[[], Deferred[Any]], Deferred[Any]]]

#: Script -> which of the words after the serializer is the first item, and from one to the next.
ITEMS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "feed/publish": (1, 3),
        "job/edit": (1, 2),
        "job/finish_then": (2, 7),
        "job/put": (1, 2),
        "job/put_later": (2, 6),
        "queue/put": (1, 2),
        "sorted_feed/edit": (1, 3),
        "sorted_feed/publish": (0, 4),
    }
)


def loaded(stored: str | bytes, serializer: str) -> Any:
    """Return the item that a serializer has made text or bytes of."""
    before = get_serializer(serializer)
    if before.binary and isinstance(stored, str):
        stored = stored.encode("utf-8", "surrogateescape")
    elif not before.binary and isinstance(stored, bytes):
        stored = stored.decode("utf-8", "surrogateescape")
    return before.loads(stored)


class Repeating:
    """The calls of one feed object that store items.

    A call begins with a prefix, whose last word is the serializer.

    :ivar waits: whether calls wait for the configuration.

    :param reload: reads the configuration, and has the feed object use it.
    :param used: returns the name of the serializer that the feed object uses.
    :param dumps: serializes an item with it.
    :param load: deserializes the item with an id.
    :param encoding: returns how to decode the replies that items are read from.
    """

    def __init__(
        self,
        pub: Sender,
        reload: Callable[[], Deferred[None]],
        used: Callable[[], str],
        dumps: Callable[[Any], str | bytes],
        load: Callable[[Any, str], Any],
        encoding: Callable[[], Encoding],
    ) -> None:
        self.waits = False
        self._pub = pub
        self._reload = reload
        self._used = used
        self._dumps = dumps
        self._load = load
        self._encoding = encoding
        self._answered: Held = deque()  # the calls that were refused
        self._made: Held = deque()  # the calls that were made meanwhile

    def call(self, script: Script, prefix: Words, words: Words) -> Deferred[Any]:
        """Call a script that stores items.

        :return: fires the reply of the script.
        """
        if self.waits:
            return self.hold(partial(self._call, script, prefix, words))
        return self._call(script, prefix, words)

    def _call(self, script: Script, prefix: Words, words: Words) -> Deferred[Any]:
        prefix, words = self.present(script.name, prefix, words)
        called = self._pub.redis.call(script, (*prefix, *words), TEXT)
        return called.addErrback(self._refused, script, prefix, words)

    def _refused(self, reason: Failure, *call: Any) -> Deferred[Any]:
        reason.trap(SerializerChanged)
        return self._hold(self._answered, partial(self._call, *call))

    def repeat(self, script: Script, prefix: Words, group: Words) -> Deferred[Any]:
        """Repeat a call that was batched: see :class:`txthoonk.protocol._interfaces.Repeater`."""
        if script.name in ITEMS:
            again = partial(self._call_together, script, prefix, group)
            return self._hold(self._answered, again)
        read = self._hold(self._answered, partial(self._read_together, script, prefix, group))
        # Feed objects do not load text that is decoded as text.
        return read.addCallback(self._load, group[0]) if prefix[-1] == "text" else read

    def later(self, script: Script, prefix: Words, group: Words) -> Deferred[Any]:
        """Make a batched call once the feed object has read the configuration."""
        return self.hold(partial(self._call_together, script, prefix, group))

    def _read_together(self, script: Script, prefix: Words, group: Words) -> Deferred[Any]:
        prefix = (*prefix[:-1], self._used())
        read = self._pub.redis.call_together(script, prefix, group, self._encoding())
        return read.addErrback(self._not_read, self._read_together, script, prefix, group)

    def read(self, script: Script, prefix: Words, words: Words) -> Deferred[Any]:
        """Call a script that reads items.

        :return: fires the reply of the script, in the encoding of the present serializer.
        """
        prefix = (*prefix[:-1], self._used())
        read = self._pub.redis.call(script, (*prefix, *words), self._encoding())
        return read.addErrback(self._not_read, self.read, script, prefix, words)

    def _not_read(self, reason: Failure, again: Callable[..., Any], *call: Any) -> Any:
        reason.trap(SerializerChanged)
        return self._hold(self._answered, partial(again, *call))

    def _call_together(self, script: Script, prefix: Words, group: Words) -> Deferred[Any]:
        prefix, group = self.present(script.name, prefix, group)
        return self._pub.redis.call_together(script, prefix, group, TEXT, self)

    def present(self, script: str, prefix: Words, words: Words) -> tuple[Words, Words]:
        """Return a call with its items in the serializer that the feed has now.

        :raises InvalidInput: if that cannot take an item.
        """
        old, new = prefix[-1], self._used()
        if old == new:
            return prefix, words
        first, step = ITEMS[script]
        again = list(words)
        again[first::step] = [self._dumps(loaded(item, old)) for item in again[first::step]]
        return (*prefix[:-1], new), tuple(again)

    def renew(self) -> Deferred[None]:
        """Have the feed object read the configuration; its calls wait until it has done so.

        :return: fires None; fails if the configuration cannot be read.
        """
        return self.hold(partial(succeed, None))

    # -- calls that wait --------------------------------------------------------------

    def hold(self, send: Callable[[], Deferred[T]]) -> Deferred[T]:
        """Have the feed object read the configuration, and then make a call.

        :return: fires the result of the call.
        """
        return self._hold(self._made, send)

    def _hold(self, held: Held, send: Callable[[], Deferred[T]]) -> Deferred[T]:
        call: Deferred[T] = AwaitableDeferred()
        held.append((send, call))
        if not self.waits:
            self.waits = True
            self._reload().addCallbacks(self._send_all, self._fail_all)
        return call

    def _send_all(self, _: None) -> None:
        while held := self._answered or self._made:
            send, call = held.popleft()
            self.waits = False
            sent = _sent(send)
            self.waits = True  # a callback of this call may make others: they come after the rest
            sent.chainDeferred(call)
        self.waits = False

    def _fail_all(self, reason: Failure) -> None:
        self.waits = False
        held = [*self._answered, *self._made]
        self._answered.clear()
        self._made.clear()
        for _, call in held:
            call.errback(Failure(reason.value))


@passing
def _sent(send: Callable[[], Deferred[Any]]) -> Deferred[Any]:
    return send()
