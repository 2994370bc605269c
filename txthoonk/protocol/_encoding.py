"""Encoding of commands and decoding of replies."""

from __future__ import annotations

import numbers
from typing import Any, NamedTuple

import hiredis

from txthoonk.errors import InvalidData, shown

__all__ = ["RAW", "TEXT", "Encoding", "encode", "pack", "safe"]


class Encoding(NamedTuple):
    """How hiredis decodes the strings of a reply; without a charset they stay bytes."""

    charset: str | None
    errors: str


# Commands whose arguments may be secret, so no error shows them.
_WITH_SECRETS = frozenset({"ACL", "AUTH", "CONFIG", "HELLO", "MIGRATE"})

#: What feeds use: any bytes survive the conversion to ``str`` and back.
TEXT = Encoding("utf-8", "surrogateescape")
RAW = Encoding(None, "strict")

_PLAIN = frozenset({str, bytes, float})
_MOST_PLAIN = 10**4000  # Python refuses to write integers of more than 4,300 digits


def safe(command: tuple[Any, ...], encoding: Encoding) -> tuple[Any, ...]:
    """Return a command that :func:`pack` can pack, whatever the user has put into it.

    hiredis ends the process if a number cannot be converted to text, and sends the whole
    underlying memory of a memoryview, even if the view skips bytes.

    :raises InvalidData: if a word cannot be encoded.
    """
    for word in command:
        kind = type(word)
        if kind not in _PLAIN and (kind is not int or not -_MOST_PLAIN < word < _MOST_PLAIN):
            break
    else:
        return command
    try:
        return tuple([w if isinstance(w, (str, bytes)) else encode(w, encoding) for w in command])
    except InvalidData as error:
        raise _refusal(command, error) from None


def pack(command: tuple[Any, ...], encoding: Encoding) -> bytes:
    """Encode a command in RESP.

    :param command: its numbers can be converted to text; see :func:`safe`.
    :raises InvalidData: if a word cannot be encoded.
    """
    if encoding.charset is None:
        encoding = TEXT
    if encoding.charset == "utf-8":
        try:
            packed: bytes = hiredis.pack_command(command)
            return packed
        except (TypeError, UnicodeEncodeError):
            pass  # the slower code below accepts more types, and names what is wrong
    try:
        words: tuple[Any, ...] = tuple([encode(word, encoding) for word in command])
    except InvalidData as error:
        raise _refusal(command, error) from None
    packed = hiredis.pack_command(words)
    return packed


def _refusal(command: tuple[Any, ...], error: InvalidData) -> InvalidData:
    """Return the error to raise, which shows no secret."""
    name = command[0].upper() if isinstance(command[0], str) else ""
    if name in _WITH_SECRETS:
        return InvalidData(f"an argument of {name} must be str, bytes or a number")
    return error


def encode(argument: object, encoding: Encoding) -> bytes:
    """Encode one word of a command.

    :raises InvalidData: if it is not bytes, a number, or text that *encoding* can encode.
    """
    if isinstance(argument, str):
        try:
            return argument.encode(encoding.charset or "utf-8", encoding.errors)
        except UnicodeEncodeError as error:
            raise InvalidData(
                f"{shown(argument)} cannot be encoded as {encoding.charset}: {error.reason}"
            ) from None
    if isinstance(argument, (bytes, bytearray, memoryview)):
        return bytes(argument)
    if isinstance(argument, numbers.Number):
        try:
            return str(argument).encode("ascii")
        except Exception as error:
            raise InvalidData(
                f"a number in a command cannot be converted to text: {shown(argument)}"
            ) from error
    raise InvalidData(
        f"an argument of a command must be str, bytes or a number, "
        f"not {type(argument).__name__}: {shown(argument)}"
    )
