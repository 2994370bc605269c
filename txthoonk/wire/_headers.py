"""Parses the header of a script: how to build its KEYS and the first of its ARGV.

The header gives each key by its pattern, such as ``feed.ids:[feed]``.  The patterns are those of
:mod:`txthoonk.wire._keys`.  ``feed.*:[feed]`` stands for every other key of the feed.  The last of
KEYS may be numbered ``N..``.  If its pattern has ``[id]``, it stands for one key for each of some
ids.  If not, all keys with ``[feed]`` repeat for each of some feeds, or those with ``[other]``,
which stands for the name of another feed.

An argument is bound by name if it is ``name of the feed`` or ``channel PATTERN``, or starts with a
name in brackets, such as ``[owner] of the claims``.  Arguments that are not bound come last.
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
    """The file of a script is malformed, or a call does not match its header."""


@attr.frozen(eq=False)  # compared by identity: there is one for each pattern
class Word:
    """A key or an argument that is built from named values.

    :ivar names: the names, such as ``("feed", "id")``.
    :ivar build: builds the word from the values, in that order.
    """

    names: tuple[str, ...]
    build: Callable[..., str]

    def made(self, values: Mapping[str, str]) -> str:
        """Build the word."""
        return self.build(*[values[name] for name in self.names])

    def builder(self, values: Mapping[str, str]) -> Callable[[str], str]:
        """Return a function that builds the word from the value of its last name."""
        return partial(self.build, *[values[name] for name in self.names[:-1]])


@attr.frozen
class Header:
    """The KEYS and ARGV that a script declares.

    :ivar keys: the KEYS that do not repeat.  They come first.
    :ivar repeated: the KEYS that repeat for each value of one name, the last of their names.
    :ivar each: that name, ``"id"`` or ``"feed"``; empty if no key repeats.
    :ivar arguments: the first of ARGV, up to the first one that is not bound by name.
    :ivar names: the names that must be given to bind the script.
    :ivar is_shared: whether the feed is the only one of them.
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
    """The keys and channels of one feed, each built when a script first needs it.

    A job feed binds twenty scripts that share some forty keys: building each of them once makes
    the object three times as fast to create.
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

    :param script: the name of the script, for errors.
    :raises ScriptError: if the header cannot be bound: it declares no KEYS, has an unknown
        pattern, or does not number its entries 1, 2, 3, and so on.
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
    """Return the entries of a section: whether each is numbered ``N..``, and its text."""
    found = re.search(_SECTION.format(name), source, re.MULTILINE)
    entries = _NUMBERED.findall(found[1]) if found else []
    if [int(number) for number, _, _ in entries] != list(range(1, len(entries) + 1)):
        raise ScriptError(f"{script}: the header must number {name} 1, 2, 3, and so on")
    for number, more, _ in entries[:-1]:
        if more:
            raise ScriptError(f"{script}: only the last of {name} may repeat, not {number}..")
    return [(bool(more), text) for _, more, text in entries]


def _word(script: str, pattern: str, words: Mapping[str, Word]) -> Word:
    known = pattern.replace("[other]", "[feed]")
    if known not in words:
        raise ScriptError(f"{script}: the header has an unknown key or channel: {pattern}")
    word = words[known]
    return word if known == pattern else Word(tuple(_NAMES.findall(pattern)), word.build)


def _fixed(script: str, words: list[Word]) -> tuple[int, str]:
    """Return how many of the KEYS do not repeat, and the name that the others repeat for."""
    each = words[-1].names[-1] if words[-1].names else ""
    if each == "id":
        return len(words) - 1, each
    fixed = sum(word.names[-1:] != (each,) for word in words)
    if not each or not all(word.names[-1:] == (each,) for word in words[fixed:]):
        raise ScriptError(f"{script}: the last of KEYS repeats, but has neither [id] nor [feed]")
    return fixed, each


def _arguments(script: str, source: str) -> tuple[Word, ...]:
    """Return the arguments that are bound by name, which come first."""
    entries = _section(script, "ARGV", source)
    words = [None if more else _argument(script, text) for more, text in entries]
    bound = list(takewhile(lambda word: word is not None, words))
    if any(words[len(bound) :]):
        raise ScriptError(
            f"{script}: the header has an argument bound by name after one that is not"
        )
    return tuple(word for word in bound if word is not None)


def _argument(script: str, text: str) -> Word | None:
    """Parse an argument; None if it is not bound by name."""
    if text.startswith("name of the feed"):
        return _FEED
    if text.startswith("channel "):
        return _word(script, text.split(" ")[1], _CHANNELS)
    name = _NAMES.match(text)
    return Word((name[1],), str) if name else None
