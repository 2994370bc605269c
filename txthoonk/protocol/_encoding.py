"""How commands become bytes, and how replies are decoded."""

from __future__ import annotations

import numbers
from typing import Any, NamedTuple

import hiredis

from txthoonk.errors import InvalidData, shown

__all__ = ["RAW", "TEXT", "Encoding", "encode", "pack"]


class Encoding(NamedTuple):
    """How hiredis decodes the strings of a reply; no charset means bytes."""

    charset: str | None
    errors: str


# Commands whose arguments no error may show.
_WITH_SECRETS = frozenset({"ACL", "AUTH", "CONFIG", "HELLO", "MIGRATE"})

#: What feeds read: any bytes survive the way through ``str`` and back.
TEXT = Encoding("utf-8", "surrogateescape")
RAW = Encoding(None, "strict")


def pack(command: tuple[Any, ...], encoding: Encoding) -> bytes:
    """Write a command as Redis reads it.

    :raises InvalidData: if a word cannot be sent.
    """
    if encoding.charset is None:
        encoding = TEXT
    if encoding.charset == "utf-8":
        try:
            packed: bytes = hiredis.pack_command(command)
            return packed
        except (TypeError, UnicodeEncodeError):
            pass  # the slow way below takes more types, or names what is wrong
    try:
        words: tuple[Any, ...] = tuple([encode(word, encoding) for word in command])
    except InvalidData:
        name = str(command[0]).upper()
        if name in _WITH_SECRETS:
            raise InvalidData(f"an argument of {name} is neither text, bytes nor number") from None
        raise
    packed = hiredis.pack_command(words)
    return packed


def encode(argument: object, encoding: Encoding) -> bytes:
    """Turn one word of a command into bytes.

    :raises InvalidData: if it is not text that *encoding* has, bytes or a number.
    """
    if isinstance(argument, str):
        try:
            return argument.encode(encoding.charset or "utf-8", encoding.errors)
        except UnicodeEncodeError as error:
            raise InvalidData(
                f"{shown(argument)} cannot be sent as {encoding.charset}: {error.reason}"
            ) from None
    if isinstance(argument, (bytes, bytearray, memoryview)):
        return bytes(argument)
    if isinstance(argument, numbers.Number):
        return str(argument).encode("ascii")
    raise InvalidData(
        f"Redis takes str, bytes and numbers, not {type(argument).__name__}: {shown(argument)}"
    )
