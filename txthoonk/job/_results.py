"""The script calls for waiting for the results of a feed's jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from txthoonk._support._replies import parses
from txthoonk.protocol._encoding import RAW, TEXT
from txthoonk.wire._keys import feed_key
from txthoonk.wire._scripts import load

if TYPE_CHECKING:
    from txthoonk.types._interfaces import Publisher

__all__ = ["ResultScripts"]

_ENDED = load("job/ended")
_LISTEN = load("job/listen")
_PASS_ON = load("job/pass_on")
_RESULT = load("job/result")


class ResultScripts:
    """Calls the scripts for waiting for results; the header of each script describes it."""

    def __init__(self, pub: Publisher, name: str) -> None:
        self._pub = pub
        self._name = name
        self._ended = _ENDED.bind(name)
        self._listen = _LISTEN.bind(name, instance=pub.uuid)
        self._pass_on = _PASS_ON.bind_each(feed=name)
        self._leave = ("ZREM", feed_key("listeners", name), pub.uuid)

    def look(self, id_: str, noted: bytes, wanted: float) -> Deferred[list[bytes]]:
        """Read the result of a job, and note that it is wanted, or remove such a note."""
        command = (*_RESULT.bind(self._name, id=id_), round(wanted * 1000), noted)
        return self._pub.redis.call(_RESULT, command, RAW)

    def listen(
        self, ids: Iterable[str], lease: float, most: int, wanted: float
    ) -> Deferred[tuple[int, list[str]]]:
        """Register as a listener, and note that the results of some jobs are wanted."""
        words = (round(lease * 1000), most, round(wanted * 1000), *ids)
        called = self._pub.redis.call(_LISTEN, (*self._listen, *words), TEXT)
        return called.addCallback(_listened)

    def ended(self, ids: Iterable[str]) -> Deferred[tuple[list[str], list[str]]]:
        """Find out which jobs are gone, and which are stalled."""
        called = self._pub.redis.call(_ENDED, (*self._ended, *ids), TEXT)
        return called.addCallback(_parts)

    def leave(self) -> Deferred[Any]:
        """Unregister as a listener."""
        return self._pub.redis.request(self._leave, TEXT)

    def pass_on(self, results: Mapping[str, bytes | None]) -> Deferred[list[str]]:
        """Publish results that other implementations published, or find out which are wanted."""
        words: list[Any] = []
        for id_, result in results.items():
            words += (id_, int(result is not None), result or b"")
        return self._pub.redis.call(_PASS_ON, (*self._pass_on(results), *words), TEXT)


@parses
def _parts(reply: list[list[str]]) -> tuple[list[str], list[str]]:
    gone, stalled = reply
    return [str(id_) for id_ in gone], [str(id_) for id_ in stalled]


@parses
def _listened(reply: list[Any]) -> tuple[int, list[str]]:
    return int(reply[0]), reply[1:]
