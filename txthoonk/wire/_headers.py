"""The header of a script: what its KEYS and the first of its ARGV are made of.

A key is written as its pattern, such as ``feed.ids:[feed]``; the patterns are those of
:mod:`txthoonk.wire._keys`.  The last of KEYS may be written ``N..``: a pattern with ``[id]`` then
stands for one key for each of some ids, and without it all keys that name the feed come again
for each of some feeds.  ``feed.*:[feed]`` stands for every other key of the feed.

An argument is bound by name if it is ``name of the feed``, ``channel PATTERN``, or begins with a
name of its own in brackets, such as ``[owner] of the claims``.  All others follow these.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Set
from functools import partial
from itertools import takewhile

import attr

from txthoonk.errors import ThoonkError
from txthoonk.wire._keys import CHANNEL_PATTERNS, FEED_PATTERNS, KEY_PATTERNS

__all__ = ["Header", "ScriptError", "Shared", "Word", "parse"]

EVERY_OTHER = "feed.*:[feed]"

_SECTION = r"^-- {}\n((?:--   .*\n)*)"
_NUMBERED = re.compile(r"^--   (\d+)(\.\.)? +(.*)", re.MULTILINE)
_NAMES = re.compile(r"\[(\w+)\]")


class ScriptError(ThoonkError):
    """A script's file is not put together as it should be, or is called otherwise than it says."""


@attr.frozen(eq=False)  # compared by identity: there is one for each pattern
class Word:
    """A key or an argument that is made of names.

    :ivar names: of what it is made, such as ``("feed", "id")``.
    :ivar build: makes it of their values, in that order.
    """

    names: tuple[str, ...]
    build: Callable[..., str]

    def made(self, values: Mapping[str, str]) -> str:
        """Make it of the values of all names."""
        return self.build(*[values[name] for name in self.names])

    def builder(self, values: Mapping[str, str]) -> Callable[[str], str]:
        """Give what makes it of the value of its last name."""
        return partial(self.build, *[values[name] for name in self.names[:-1]])


@attr.frozen
class Header:
    """What a script declares.

    :ivar keys: KEYS that come once, which are the first ones.
    :ivar repeated: KEYS that come for each value of one name, which is the last of their names.
    :ivar each: that name: ``"id"`` or ``"feed"``; empty if there are none.
    :ivar arguments: the first of ARGV, as far as they are bound by name.
    :ivar names: the names of which all are made; without *each*, unless others need it too.
    :ivar is_shared: whether that is the feed alone.
    """

    keys: tuple[Word, ...] = ()
    repeated: tuple[Word, ...] = ()
    each: str = ""
    arguments: tuple[Word, ...] = ()
    names: Set[str] = attr.field(init=False)
    is_shared: bool = attr.field(init=False)

    @names.default
    def _all_names(self) -> Set[str]:
        once = [word.names for word in (*self.keys, *self.arguments)]
        return set().union(*once, *[word.names[:-1] for word in self.repeated])

    @is_shared.default
    def _needs_the_feed_alone(self) -> bool:
        return self.names == {"feed"}


class Shared(dict[Word, str]):
    """The keys and channels of one feed, each made when a script needs it for the first time.

    A feed object binds some twenty scripts, which have the same few dozen keys.
    """

    def __init__(self, feed: str) -> None:
        super().__init__()
        self._feed = feed

    def __missing__(self, word: Word) -> str:
        made = self[word] = word.build(self._feed) if word.names else word.build()
        return made


def _words(patterns: Mapping[str, Callable[..., str]]) -> dict[str, Word]:
    return {
        pattern: Word(tuple(_NAMES.findall(pattern)), build) for pattern, build in patterns.items()
    }


_KEYS = _words(KEY_PATTERNS)
_CHANNELS = _words(CHANNEL_PATTERNS)
_FEED = Word(("feed",), str)


def parse(script: str, source: str) -> Header:
    """Read the header of a script.

    :param script: its name, for errors.
    :raises ScriptError: if the header cannot be bound: it declares no KEYS, has a pattern that is
        unknown, or numbers that are not 1, 2, 3, and so on.
    """
    entries = _section(script, "KEYS", source)
    if not entries:
        raise ScriptError(f"{script}: the header declares no KEYS")
    patterns = [text.split(" ", 1)[0] for _, text in entries]
    more = entries[-1][0]
    if more and patterns[-1] == EVERY_OTHER:
        patterns[-1:] = [pattern for pattern in FEED_PATTERNS if pattern not in patterns]
        more = False
    words = [_word(script, pattern, _KEYS) for pattern in patterns]
    fixed, each = _fixed(script, words) if more else (len(words), "")
    return Header(
        keys=tuple(words[:fixed]),
        repeated=tuple(words[fixed:]),
        each=each,
        arguments=_arguments(script, source),
    )


def _section(script: str, name: str, source: str) -> list[tuple[bool, str]]:
    """Give of each entry whether it stands for more than one, and its text."""
    found = re.search(_SECTION.format(name), source, re.MULTILINE)
    entries = _NUMBERED.findall(found[1]) if found else []
    if [int(number) for number, _, _ in entries] != list(range(1, len(entries) + 1)):
        raise ScriptError(f"{script}: the numbers of {name} in the header are not 1, 2, 3, ...")
    for number, more, _ in entries[:-1]:
        if more:
            raise ScriptError(f"{script}: {number}.. is not the last of {name} in the header")
    return [(bool(more), text) for _, more, text in entries]


def _word(script: str, pattern: str, words: Mapping[str, Word]) -> Word:
    if pattern not in words:
        raise ScriptError(f"{script}: the header has an unknown key or channel, {pattern}")
    return words[pattern]


def _fixed(script: str, words: list[Word]) -> tuple[int, str]:
    """Give how many of the KEYS come once, and the name for whose values the others come."""
    each = words[-1].names[-1] if words[-1].names else ""
    if each == "id":
        return len(words) - 1, each
    fixed = sum(not word.names for word in words)
    if not each or not all(word.names[-1:] == (each,) for word in words[fixed:]):
        raise ScriptError(f"{script}: the header does not say of what its KEYS come again")
    return fixed, each


def _arguments(script: str, source: str) -> tuple[Word, ...]:
    """Give the first of ARGV, as far as they are bound by name."""
    entries = _section(script, "ARGV", source)
    words = [None if more else _argument(script, text) for more, text in entries]
    bound = list(takewhile(lambda word: word is not None, words))
    if any(words[len(bound) :]):
        raise ScriptError(f"{script}: an argument that is bound by name follows one that is not")
    return tuple(word for word in bound if word is not None)


def _argument(script: str, text: str) -> Word | None:
    """Read an argument; None if it is not bound by name."""
    if text.startswith("name of the feed"):
        return _FEED
    if text.startswith("channel "):
        return _word(script, text.split(" ")[1], _CHANNELS)
    name = _NAMES.match(text)
    return Word((name[1],), str) if name else None
