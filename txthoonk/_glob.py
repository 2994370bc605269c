"""Redis' glob-style patterns, for names that do not come as channels."""

from __future__ import annotations

import re

__all__ = ["glob_to_regex"]

_TOKEN = re.compile(
    r"\\(?P<escaped>.)|\[(?P<negated>\^?)(?P<set>(?:\\.|[^\]\\])*)\]?|.", re.DOTALL
)


def glob_to_regex(pattern: str) -> re.Pattern[str]:
    """Translate a pattern of PSUBSCRIBE or KEYS; use the result with ``fullmatch``.

    ``*`` and ``?`` are any text and any one character, ``[a-z]`` and ``[^a-z]`` sets
    of characters, and a backslash takes the next character literally.
    """
    return re.compile("".join(map(_translate, _TOKEN.finditer(pattern))), re.DOTALL)


def _translate(token: re.Match[str]) -> str:
    if token["escaped"] is not None:
        return re.escape(token["escaped"])
    if token["set"] is not None:
        return _translate_set(token["set"], bool(token["negated"]))
    return {"*": ".*", "?": "."}.get(token[0], re.escape(token[0]))


def _translate_set(members: str, negated: bool) -> str:
    if not members:
        return "." if negated else "(?!)"
    ranges = re.findall(r"\\?(.)-\\?(.)|\\(.)|(.)", members, re.DOTALL)
    parts = []
    for low, high, escaped, single in ranges:
        low, high = sorted((low, high)) if low else (escaped or single,) * 2
        parts.append(f"{re.escape(low)}-{re.escape(high)}")
    return f"[{'^' if negated else ''}{''.join(parts)}]"
