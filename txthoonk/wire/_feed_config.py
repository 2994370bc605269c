"""Checks of a feed's configuration, before anything is sent.

``type``, ``max_length``, ``history``, ``max_failures``, ``timeout``, ``paused``,
``keep_results``, ``keep_results_for``, ``keep_stalled``, ``keep_stalled_for`` and
``serializer`` mean something to txthoonk; all other values are kept for those who put them there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Union

from txthoonk.errors import InvalidInput, InvalidType, shown
from txthoonk.serializers import get_serializer
from txthoonk.wire._checks import check_seconds

__all__ = ["Config", "config_fields"]

#: What a caller may give as the configuration of a feed.
Config = Mapping[str, Union[str, int, float]]


def config_fields(config: Config | None) -> list[str]:
    """Give the configuration as field, value, field, value, ... in Redis' text.

    :raises InvalidInput: for a value of the wrong kind; it names field and value.
    """
    if config is None:
        return []
    if not isinstance(config, Mapping):
        raise InvalidType(
            f"a configuration must be a dict, not {type(config).__name__}: {shown(config)}"
        )
    fields: list[str] = []
    for field, value in config.items():
        fields += [_field(field), _value(field, value)]
    return fields


def _field(field: object) -> str:
    if not isinstance(field, str) or not field:
        raise InvalidType(f"a configuration's names must be str and not empty: {shown(field)}")
    return field


def _value(field: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise InvalidType(
            f"configuration {field!r} must be a str or a number, "
            f"not {type(value).__name__}: {shown(value)}"
        )
    text = str(value)
    if field in _CHECKS:
        _CHECKS[field](text)
    return text


def _check_type(text: str) -> None:
    if not text:
        raise InvalidInput("configuration 'type' must not be empty")


def _check_limit(field: str, text: str) -> None:
    if not (text.isascii() and text.isdigit()):
        raise InvalidInput(
            f"configuration {field!r} must be a whole number, 0 for no limit: {shown(text)}"
        )


def _check_history(text: str) -> None:
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise InvalidInput(
            f"configuration 'history' must be a whole number of events, 0 for none: {shown(text)}"
        )


def _check_time(field: str, text: str) -> None:
    try:
        # Lua, which reads it, knows no underscores in numbers.
        check_seconds(float(text.replace("_", "?")), f"configuration {field!r}")
    except ValueError:
        raise InvalidInput(
            f"configuration {field!r} must be a number of seconds, 0 for no limit: {shown(text)}"
        ) from None


def _check_paused(text: str) -> None:
    if text not in ("0", "1"):
        raise InvalidInput(f"configuration 'paused' must be 0 or 1: {shown(text)}")


_CHECKS: dict[str, Callable[[str], object]] = {
    "type": _check_type,
    "history": _check_history,
    "max_failures": partial(_check_limit, "max_failures"),
    "max_length": partial(_check_limit, "max_length"),
    "keep_results": partial(_check_limit, "keep_results"),
    "keep_stalled": partial(_check_limit, "keep_stalled"),
    "paused": _check_paused,
    "timeout": partial(_check_time, "timeout"),
    "keep_results_for": partial(_check_time, "keep_results_for"),
    "keep_stalled_for": partial(_check_time, "keep_stalled_for"),
    "serializer": get_serializer,
}
