"""The Lua scripts: read from their files, put together, named by digest.

A script is one file below ``scripts/``.  Its header comment says what each of
KEYS and ARGV is; a line ``--- include NAME`` stands for the function in
``scripts/include/NAME.lua``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from importlib.resources import files

import attr

from txthoonk.errors import ThoonkError

__all__ = ["Script", "ScriptError", "assemble", "load"]

_INCLUDE = re.compile(r"^--- include (\S+)\n", re.MULTILINE)
_KEYS = re.compile(r"^-- KEYS\n((?:--   .*\n)*)", re.MULTILINE)
_NUMBERED = re.compile(r"^--   (\d+(?:\.\.)?) ", re.MULTILINE)


class ScriptError(ThoonkError):
    """A script's file is not put together as it should be."""


@attr.frozen
class Script:
    """One script as Redis gets it.

    :ivar name: such as ``"feed/publish"``.
    :ivar keys: how many KEYS its header declares.
    :ivar more_keys: whether the last of them stands for any number, or none.
    :ivar rest: the script that does what it leaves undone, if it answers MORE; it takes the same
        KEYS, and the same ARGV before the groups.
    """

    name: str
    source: str
    sha: str
    keys: int
    more_keys: bool
    rest: Script | None = None

    def prefix(self, keys: Sequence[str], *arguments: str) -> tuple[str | int, ...]:
        """Begin a call: the words of EVALSHA, all KEYS, and the first of ARGV."""
        least = self.keys - self.more_keys
        if len(keys) < least or (len(keys) > least and not self.more_keys):
            raise ScriptError(f"{self.name} takes {self.keys} keys, not {len(keys)}")
        return ("EVALSHA", self.sha, len(keys), *keys, *arguments)


def load(name: str, rest: str | None = None) -> Script:
    """Read the script *name*, such as ``"feed/publish"``, with what it includes.

    :param rest: the name of the script that does what it leaves undone.
    """
    folder = files("txthoonk") / "scripts"

    def read(part: str) -> str:
        return (folder / f"{part}.lua").read_text("utf-8")

    source = assemble(name, read)
    sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
    keys = _declared_keys(name, source)
    return Script(
        name,
        source,
        sha,
        keys=len(keys),
        more_keys=keys[-1].endswith(".."),
        rest=load(rest) if rest else None,
    )


def assemble(name: str, read: Callable[[str], str]) -> str:
    """Put a script and its includes into one text.

    :param read: gives the text of a part by its name.
    :raises ScriptError: for an include that is missing, repeated or circular.
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


def _declared_keys(name: str, source: str) -> list[str]:
    header = _KEYS.search(source)
    keys = _NUMBERED.findall(header[1]) if header else []
    if not keys:
        raise ScriptError(f"{name}: the header declares no KEYS")
    return keys
