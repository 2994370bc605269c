"""Learns what txthoonk sends to Redis for a call, as a template for the other programs.

It watches the server (MONITOR) while txthoonk makes one call, so the template always matches the
library.
"""

from __future__ import annotations

import codecs
import contextlib
import re
from typing import Any

from peers.running import Client, Redis

__all__ = ["Wire"]

NAME = "bench"
ITEMS = f"feed.items:{NAME}"
QUIET = 0.1  # seconds without a command, after which no other is expected

# The patterns of an id of new_number(), of one of old_id(), and of a claim's token.
_OLD_ID = re.compile(r"(?<!\d)\d{12}(?!\d)")
_NEW_NUMBER = re.compile(r"(?<!\d)\d{24}(?!\d)")
_CLAIM = re.compile(r"(?<=.:)\d{13}(\.\d+)?$")

_LINE = re.compile(r"[\d.]+ \[\d+ (?P<client>[^]]+)\] (?P<words>.+)")
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"')
_NOT_CALLS = ("CLIENT", "CONFIG", "ECHO", "HELLO", "INFO", "PING", "SCRIPT", "SELECT")

#: The verbs of a call that consists of several.
PARTS = {
    "queue.put_get": ("queue.put", "queue.get"),
    "job.get_finish": ("job.get_finish",),
}
#: The number of commands whose replies no caller waits for: a queue acknowledges by itself.
LOOSE = {"queue.put_get": 1}


class Wire:
    """Learns what txthoonk sends.

    :param address: the address of the server.
    :param ours: the client that runs txthoonk; the feed is open, with the items that a call needs.
    """

    def __init__(self, address: tuple[str, int], redis: Redis, ours: Client) -> None:
        self._address = address
        self._redis = redis
        self._ours = ours

    def steps(self, verb: str) -> list[list[str]]:
        """Return the commands of a call."""
        found = []
        known = self._ids()
        for part in PARTS.get(verb, (verb,)):
            commands = self._sent_by(part)
            before, known = known, known | self._ids()
            for command in commands:
                found.append(
                    [self._template(word, before, known, bool(found)) for word in command]
                )
        return found

    def _ids(self) -> set[str]:
        return {id_ for id_ in self._redis.call("HKEYS", ITEMS) if not _OLD_ID.fullmatch(id_)}

    def _template(self, word: str, before: set[str], known: set[str], follows: bool) -> str:
        for id_ in known:
            if id_ in word:
                return word.replace(id_, "{id}" if id_ in before or follows else "{n}")
        for pattern, name in ((_NEW_NUMBER, "{n}"), (_OLD_ID, "{r}"), (_CLAIM, "{time}")):
            if pattern.search(word):
                return pattern.sub(name, word)
        return word

    def _sent_by(self, verb: str) -> list[list[str]]:
        monitor = Redis(self._address, QUIET)
        try:
            monitor.call("MONITOR")
            order = {"count": 1, "width": 1, "batch": False, "first": 0, "spread": 1}
            self._ours.ask(do="calls", verb=verb, **order)
            return commands_in(monitor)
        finally:
            monitor.close()


def commands_in(monitor: Redis) -> list[list[str]]:
    """Parse the calls, without those of scripts and the connections' own."""
    found = []
    with contextlib.suppress(TimeoutError):
        while True:
            line: Any = _LINE.match(monitor.read())
            words = [unescaped(word) for word in _WORD.findall(line["words"])]
            if line["client"] != "lua" and words[0].upper() not in _NOT_CALLS:
                found.append(words)
    return found


def unescaped(word: str) -> str:
    """Undo MONITOR's escaping of unprintable bytes."""
    return codecs.decode(word.replace("\\'", "'"), "unicode_escape")
