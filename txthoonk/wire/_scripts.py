"""Loads the Lua scripts, resolves their includes, and binds them to feeds.

A script is one file below ``scripts/``.  A line ``--- include NAME`` stands for the function in
``scripts/include/NAME.lua``.  The header comment describes each of KEYS and ARGV.  From that
header (:mod:`txthoonk.wire._headers`) a feed object *binds* the script once: the result is the
beginning of every call.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from importlib.resources import files

import attr

from txthoonk.wire._headers import Header, ScriptError, Shared, parse

__all__ = ["Command", "Script", "ScriptError", "assemble", "load"]

#: The words of a call, or the beginning of them.
Command = tuple[str | int, ...]

_INCLUDE = re.compile(r"^--- include (\S+)\n", re.MULTILINE)
_COMMENTS = re.compile(r"^[ \t]*--.*\n", re.MULTILINE)


# A feed object binds all its scripts when it is created.
_shared = lru_cache(maxsize=100)(Shared)


@attr.frozen
class Script:
    """One script.

    :ivar name: such as ``"feed/publish"``.
    :ivar source: the text that Redis receives.
    :ivar sha: its SHA-1 digest in hex.
    :ivar header: how to build its KEYS and the first of its ARGV.
    :ivar rest: the script to call while this one or itself replies MORE.  It takes the same KEYS,
        and the same ARGV without the groups.
    """

    name: str
    source: str
    sha: str
    header: Header = attr.field(default=Header(), eq=False, repr=False)
    rest: Script | None = None

    def bind(self, feed: str, **names: str) -> Command:
        """Build the beginning of a call: EVALSHA, all KEYS, and the ARGV that are bound by name.

        The caller appends the other arguments.

        :param feed: the name of the feed.
        :param names: the values of the other names in brackets in the header.
        :raises ScriptError: if the header has other names.
        """
        header = self.header
        if header.each:
            raise ScriptError(f"{self.name} has keys for each {header.each}: use bind_each")
        if names or not header.is_shared:
            return self.bind_each(feed=feed, **names)(())
        shared = map(_shared(feed).__getitem__, header.keys + header.arguments)
        return ("EVALSHA", self.sha, len(header.keys), *shared)

    def bind_each(self, **names: str) -> Callable[[Iterable[str]], Command]:
        """Bind a script with keys that repeat for each of some ids or feeds.

        :param names: as for :meth:`bind`.  ``feed`` is one of them unless the keys repeat for
            each feed.
        :return: a function of the ids, or the names of the feeds.  It builds the beginning of a
            call like :meth:`bind`.
        :raises ScriptError: if the header has other names.
        """
        header = self.header
        if names.keys() != header.names:
            raise ScriptError(
                f"{self.name} is bound by {sorted(header.names)}, not by {sorted(names)}"
            )
        sha = self.sha
        keys = [key.made(names) for key in header.keys]
        arguments = [argument.made(names) for argument in header.arguments]
        builders = [key.builder(names) for key in header.repeated]

        def begin(values: Iterable[str]) -> Command:
            more = [build(value) for value in values for build in builders]
            return ("EVALSHA", sha, len(keys) + len(more), *keys, *more, *arguments)

        return begin


def load(name: str, rest: str | None = None) -> Script:
    """Load the script *name*, such as ``"feed/publish"``, with its includes.

    :param rest: the name of the script in :attr:`Script.rest`.
    :raises ScriptError: if an include or the header is wrong.
    """
    text = assemble(name, _read)
    # Every new connection sends the script: the comments are a third of it.
    source = _COMMENTS.sub("", text)
    sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
    return Script(name, source, sha, parse(name, text), load(rest) if rest else None)


@cache
def _read(part: str) -> str:
    """Return the text of a file; many scripts include the same ones."""
    return (files("txthoonk") / "scripts" / f"{part}.lua").read_text("utf-8")


def assemble(name: str, read: Callable[[str], str]) -> str:
    """Return the text of a script with its includes.

    :param read: returns the text of a file by its name.
    :raises ScriptError: if an include is missing, repeated or circular.
    """
    seen: set[str] = set()

    def expand(text: str, within: str) -> str:
        return _INCLUDE.sub(lambda match: include(match[1], within), text)

    def include(part: str, within: str) -> str:
        if part in seen:
            raise ScriptError(f"{name}: {part} is included again by {within}")
        seen.add(part)
        try:
            text = read(f"include/{part}")
        except FileNotFoundError:
            raise ScriptError(f"{name}: {within} includes {part}, which is missing") from None
        return expand(text, part)

    return expand(read(name), name)
