"""Encoding of commands and decoding of replies."""

from __future__ import annotations

import numbers
from typing import Any, NamedTuple

import hiredis

from txthoonk.errors import InvalidData, shown

__all__ = ["RAW", "TEXT", "Encoding", "encode", "pack"]


class Encoding(NamedTuple):
    """How hiredis decodes the strings of a reply; without a charset they stay bytes."""

    charset: str | None
    errors: str


# Commands whose arguments may be secret, so no error shows them.
_WITH_SECRETS = frozenset({"ACL", "AUTH", "CONFIG", "HELLO", "MIGRATE"})

#: What feeds use: any bytes survive the conversion to ``str`` and back.
TEXT = Encoding("utf-8", "surrogateescape")
RAW = Encoding(None, "strict")


def pack(command: tuple[Any, ...], encoding: Encoding) -> bytes:
    """Encode a command in RESP.

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
    except InvalidData:
        name = str(command[0]).upper()
        if name in _WITH_SECRETS:
            raise InvalidData(f"an argument of {name} must be str, bytes or a number") from None
        raise
    packed = hiredis.pack_command(words)
    return packed


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
        return str(argument).encode("ascii")
    raise InvalidData(
        f"an argument of a command must be str, bytes or a number, "
        f"not {type(argument).__name__}: {shown(argument)}"
    )
