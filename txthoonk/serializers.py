"""The serializers ``text``, ``bytes`` and ``json``, and the registry for your own.

A feed names its serializer in its configuration.  None of these three runs code from the data.
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

    Register it in every program that opens such a feed.

    :raises InvalidInput: if a serializer of that name is already registered.
    """
    if name in _registry:
        raise InvalidInput(f"a serializer {name!r} is already registered: choose another name")
    _registry[name] = _Checked(name, serializer)


def get_serializer(name: str) -> Serializer:
    """Return the serializer that a configuration names.

    :raises InvalidInput: if no serializer of that name is registered.
    """
    serializer = _registry.get(name) if isinstance(name, str) else None
    if serializer is None:
        known = ", ".join(sorted(_registry))
        raise InvalidInput(
            f"unknown serializer {shown(name)}: use one of {known}, or call register_serializer"
        )
    return serializer


class _Checked:
    """A registered serializer, with a check that it returns ``str`` or ``bytes``."""

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
                f"serializer {self._name!r} must return str or bytes, "
                f"not {type(data).__name__}, for the item {shown(item)}"
            )
        return data


class _Text:
    """Takes ``str`` or ``bytes``, returns ``str``: UTF-8 with surrogateescape."""

    binary = False

    def dumps(self, item: Any) -> str | bytes:
        if isinstance(item, (str, bytes)):
            return item
        raise InvalidType(
            f"an item of a text feed must be str or bytes, not {shown(item)}: "
            "set serializer='json' in the feed's configuration to store other values"
        )

    def loads(self, data: str) -> str:
        return data


class _Bytes:
    """Takes and returns ``bytes``, unchanged."""

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
    """Takes and returns JSON values, stored as compact JSON in ASCII."""

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
