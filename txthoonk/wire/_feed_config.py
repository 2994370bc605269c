"""Checks the configuration of a feed before it is sent to Redis.

:mod:`txthoonk.wire._settings` has the settings that txthoonk knows. All other names belong to the
programs that use the feed, and are stored as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Union

from txthoonk.errors import FeedTypeMismatch, InvalidInput, InvalidType, shown
from txthoonk.wire._settings import FEED_TYPES, SETTINGS, Setting, nearest

__all__ = ["Config", "check_value", "config_fields", "limited_settings"]

#: What a caller may give as the configuration of a feed.
Config = Mapping[str, Union[str, int, float]]


def config_fields(
    config: Config | None,
    type_: str | None = None,
    registered: Iterable[str] = (),
    force: bool = False,
) -> list[str]:
    """Give the configuration as field, value, field, value, ... in Redis' text.

    :param type_: the type of the feed, where the configuration has none; None: not known.
    :param registered: the feed types that are known beside those of txthoonk.
    :param force: accept what is probably a mistake: a name close to that of a setting, an
        unknown feed type, a setting that feeds of this type do not have.
    :raises InvalidInput: for a wrong name or value; the message has both.
    :raises FeedTypeMismatch: for a setting that feeds of this type do not have.
    """
    if config is None:
        return []
    if not isinstance(config, Mapping):
        raise InvalidType(
            f"a configuration must be a dict, not {type(config).__name__}: {shown(config)}"
        )
    texts = {_field(field): _text(field, value) for field, value in config.items()}
    if not force:
        _check_type(texts.get("type"), registered)
        for field in texts:
            _check_field(field, texts.get("type", type_))
    for field, text in texts.items():
        check_value(field, text)
    return [word for field in texts.items() for word in field]


def check_value(field: str, text: str) -> None:
    """Check a value, as text, of a known setting; other values can be anything.

    :raises InvalidInput: if it is wrong.
    """
    if field in SETTINGS:
        SETTINGS[field].check(text)


def limited_settings(fields: list[str]) -> str:
    """Name the given settings that some feed types do not have, for a script that knows the type.

    :param fields: field, value, field, value, ...
    :return: three words for each setting: its name, the types that have it, and the others,
        with commas between types.
    """
    given = [SETTINGS[field] for field in fields[::2] if field in SETTINGS]
    return " ".join(
        f"{setting.name} {','.join(setting.types)} {','.join(_others(setting))}"
        for setting in given
        if _others(setting)
    )


def _others(setting: Setting) -> list[str]:
    return [type_ for type_ in FEED_TYPES if type_ not in setting.types]


def _field(field: object) -> str:
    if not isinstance(field, str) or not field:
        raise InvalidType(f"a configuration's names must be str and not empty: {shown(field)}")
    return field


def _text(field: str, value: object) -> str:
    known = SETTINGS.get(field)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        expected = known.expected if known else "a str or a number"
        raise InvalidType(
            f"configuration {field!r} must be {expected}, "
            f"not {type(value).__name__}: {shown(value)}"
        )
    if known and isinstance(value, float) and value.is_integer():
        value = int(value)  # 60.0 seconds are the same value as 60
    try:
        return str(value)
    except Exception as error:
        raise InvalidInput(
            f"configuration {field!r} cannot be converted to text: {shown(value)}"
        ) from error


def _check_type(type_: str | None, registered: Iterable[str]) -> None:
    known = (*FEED_TYPES, *sorted(registered))
    if type_ is not None and type_ not in known:
        raise InvalidInput(
            f"unknown feed type {shown(type_)}: known types are {', '.join(known)} "
            "(use force for a type that only another program knows)"
        )


def _check_field(field: str, type_: str | None) -> None:
    right = nearest(field)
    if right:
        raise InvalidInput(
            f"unknown setting {shown(field)}: did you mean {right!r}? "
            "(use force to store a setting of your own under this name)"
        )
    if field in SETTINGS and type_ in _others(SETTINGS[field]):
        raise FeedTypeMismatch(
            f"the setting {field!r} is for feeds of type {', '.join(SETTINGS[field].types)}; "
            f"this feed is of type {type_!r} (use force to store it anyway)"
        )
