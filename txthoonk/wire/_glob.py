"""Redis' glob-style patterns, for matching names that Redis does not match for us."""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["glob_matcher", "is_pattern"]

# A member of a set is an escaped byte, a range or a byte.  As in Redis, any byte after the
# hyphen ends a range, and a set without a bracket ends with the pattern.
_SET = r"\[(?P<negated>\^?)(?P<set>(?:\\.|[^]\\]-.|[^]\\]|\\\Z)*)\]?"
_TOKEN = re.compile(r"\\(?P<escaped>.)|" + _SET + r"|.", re.DOTALL)
_MEMBER = re.compile(r"\\(?P<escaped>.)|(?P<low>.)-(?P<high>.)|.", re.DOTALL)


def glob_matcher(pattern: str) -> Callable[[str], bool]:
    """Return a function that matches names against a pattern of PSUBSCRIBE or KEYS.

    ``*`` matches any bytes, ``?`` any one byte, ``[a-z]`` and ``[^a-z]`` one byte of a set, and
    a backslash escapes the next byte.
    """
    tokens = _TOKEN.finditer(_bytewise(pattern))
    regex = re.compile("".join(map(_translate, tokens)), re.DOTALL)
    return lambda name: regex.fullmatch(_bytewise(name)) is not None


def is_pattern(text: str) -> bool:
    """Return whether a text is a pattern, not the name of one feed."""
    return not set("*?[\\").isdisjoint(text)


def _bytewise(text: str) -> str:
    """Return a text with one character for each byte, because Redis matches bytes."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def _translate(token: re.Match[str]) -> str:
    if token["escaped"] is not None:
        return re.escape(token["escaped"])
    if token["set"] is not None:
        return _translate_set(token["set"], bool(token["negated"]))
    return {"*": ".*", "?": "."}.get(token[0], re.escape(token[0]))


def _translate_set(members: str, negated: bool) -> str:
    if not members:
        return "." if negated else "(?!)"
    parts = []
    for member in _MEMBER.finditer(members):
        single = member["escaped"] or member[0]
        low, high = sorted((member["low"] or single, member["high"] or single))
        parts.append(f"{re.escape(low)}-{re.escape(high)}")
    return f"[{'^' if negated else ''}{''.join(parts)}]"
