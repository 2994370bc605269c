"""How items become bytes in Redis and back: ``text``, ``bytes`` and ``json``.

A feed names its serializer in its configuration.  None of them runs code that
comes with the data.
"""

from __future__ import annotations

import json
from typing import Any

from txthoonk.errors import InvalidInput, InvalidType, shown
from txthoonk.interfaces import Serializer

__all__ = ["get_serializer", "register_serializer"]

_registry: dict[str, Serializer] = {}


def register_serializer(name: str, serializer: Serializer) -> None:
    """Make *serializer* available to feeds whose configuration names it.

    Every program that reads such a feed must know the name.

    :raises InvalidInput: if the name is taken.
    """
    if name in _registry:
        raise InvalidInput(f"there is a serializer {name!r} already")
    _registry[name] = _Checked(name, serializer)


def get_serializer(name: str) -> Serializer:
    """Give the serializer that a configuration names.

    :raises InvalidInput: if there is none of that name.
    """
    try:
        return _registry[name]
    except KeyError:
        known = ", ".join(sorted(_registry))
        raise InvalidInput(f"unknown serializer {name!r}: known are {known}") from None


class _Checked:
    """A serializer of others, of which we make sure that it gives what can be stored."""

    def __init__(self, name: str, serializer: Serializer) -> None:
        self.binary = serializer.binary
        self.loads = serializer.loads
        self._name = name
        self._dumps = serializer.dumps

    def dumps(self, item: Any) -> str | bytes:
        data: object = self._dumps(item)
        if isinstance(data, (bytearray, memoryview)):
            return bytes(data)
        if not isinstance(data, (str, bytes)):
            raise InvalidType(
                f"serializer {self._name!r} must make str or bytes of an item, "
                f"not {type(data).__name__}: {shown(item)}"
            )
        return data


class _Text:
    """``str`` or ``bytes`` in, ``str`` out: UTF-8, with surrogateescape."""

    binary = False

    def dumps(self, item: Any) -> str | bytes:
        if isinstance(item, (str, bytes)):
            return item
        raise InvalidType(
            f"an item of a text feed must be str or bytes, not {shown(item)} "
            "(for other values configure the feed with serializer='json')"
        )

    def loads(self, data: str) -> str:
        return data


class _Bytes:
    """``bytes`` in and out, as they are."""

    binary = True

    def dumps(self, item: Any) -> bytes:
        if isinstance(item, (bytes, bytearray, memoryview)):
            return bytes(item)
        raise InvalidType(
            f"an item of a bytes feed must be bytes, not {type(item).__name__}: {shown(item)}"
        )

    def loads(self, data: bytes) -> bytes:
        return data


def _not_json(item: object, error: Exception) -> str:
    return f"an item of a json feed must be a JSON value: {error}: {shown(item)}"


class _Json:
    """Values that JSON can express, as compact JSON text in ASCII."""

    binary = True

    def dumps(self, item: Any) -> str:
        try:
            return json.dumps(item, separators=(",", ":"), allow_nan=False)
        except TypeError as error:
            raise InvalidType(_not_json(item, error)) from None
        except (ValueError, RecursionError) as error:
            raise InvalidInput(_not_json(item, error)) from None

    def loads(self, data: bytes) -> Any:
        try:
            return json.loads(data)
        except RecursionError as error:
            raise ValueError(str(error)) from None


_registry |= {"text": _Text(), "bytes": _Bytes(), "json": _Json()}
