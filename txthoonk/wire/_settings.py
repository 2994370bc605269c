"""Every setting that txthoonk knows in the configuration of a feed.

This table is the only one. The checks of a configuration, ``thoonk create --help``, the page
"Settings of a feed" and all code that reads a stored configuration use it. A test compares it with
the settings that the Lua scripts read.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping

import attr

from txthoonk.errors import InvalidInput, shown
from txthoonk.serializers import get_serializer
from txthoonk.wire._checks import MOST_SECONDS

__all__ = [
    "FEED_TYPES",
    "SETTINGS",
    "Setting",
    "limit_from",
    "nearest",
    "setting_from",
]

FEED_TYPES = ("feed", "sorted_feed", "queue", "pyqueue", "job")

MOST = 10**15 - 1  # the scripts calculate with doubles, which hold such numbers exactly
SIMILAR = 0.75  # how similar a name must be to count as a misspelled one: see difflib


@attr.frozen
class Setting:
    """A setting of a feed.

    :ivar name: the field in the hash ``feed.config:[feed]``.
    :ivar types: the feed types that have the setting.
    :ivar expected: what a value must be, with unit and range, as errors and docs show it.
    :ivar accepts: whether a text is such a value.
    :ivar about: one sentence: what the setting does, and what it costs.
    :ivar default: the value, as text, that counts where none is stored.
    """

    name: str
    types: tuple[str, ...]
    expected: str
    accepts: Callable[[str], bool]
    about: str
    default: str = "0"

    def check(self, text: str) -> None:
        """Check a value.

        :raises InvalidInput: if it is wrong; the message has the value and what is expected.
        """
        if not self.accepts(text):
            raise InvalidInput(
                f"configuration {self.name!r} must be {self.expected}: {shown(text)}"
            )


def _number(unit: str, none: str) -> tuple[str, Callable[[str], bool]]:
    return f"a whole number of {unit} from 0 ({none}) to {MOST:,}", _is_number


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len(str(MOST))


def _seconds(none: str) -> tuple[str, Callable[[str], bool]]:
    return f"a number of seconds from 0 ({none}) to {MOST_SECONDS:,}", _is_seconds


def _is_seconds(text: str) -> bool:
    try:
        # Lua reads the number too; it takes neither underscores nor digits beyond ASCII.
        return text.isascii() and "_" not in text and 0 <= float(text) <= MOST_SECONDS
    except ValueError:
        return False


def _is_serializer(text: str) -> bool:
    """Tell whether a serializer is registered; the error for another one lists those that are."""
    return bool(get_serializer(text))


_TAKEN = ("queue", "pyqueue", "job")
_JOB = ("job",)

#: Every known setting, by its name.
SETTINGS: Mapping[str, Setting] = {
    setting.name: setting
    for setting in (
        Setting(
            "type",
            FEED_TYPES,
            "feed, sorted_feed, queue, pyqueue, job or a registered feed type",
            bool,
            "The feed type, which cannot change while the feed exists.",
            default="feed",
        ),
        Setting(
            "serializer",
            ("feed", "sorted_feed", "queue", "job"),
            "text, bytes, json or a registered serializer",
            _is_serializer,
            "The format in which items are stored; a new value does not convert the items that "
            "are already stored.",
            default="text",
        ),
        Setting(
            "history",
            FEED_TYPES,
            *_number("events", "no history"),
            "Keeps the last events, so that subscriptions can resume after them; each change "
            "also writes to a stream, which takes memory for that many events.",
        ),
        Setting(
            "max_length",
            ("feed",),
            *_number("items", "no limit"),
            "Keeps only the newest items; each publish to a full feed also removes the oldest "
            "item.",
        ),
        Setting(
            "paused",
            _TAKEN,
            "0 or 1",
            ("0", "1").__contains__,
            "With 1, nothing is taken from the feed until it is 0 again; putting continues, and "
            "what is put takes memory.",
        ),
        Setting(
            "timeout",
            _JOB,
            *_seconds("no limit"),
            "Cancels a claim that its worker has not renewed for this long; workers renew their "
            "claims three times within it.",
        ),
        Setting(
            "max_failures",
            _JOB,
            *_number("failures", "no limit"),
            "Stalls a job that has failed this many times; without a limit, a job that always "
            "fails is tried forever.",
        ),
        Setting(
            "keep_results_for",
            _JOB,
            *_seconds("off"),
            "Keeps the result of each finished job for this long; kept results take memory.",
        ),
        Setting(
            "keep_results",
            _JOB,
            *_number("results", "no limit"),
            "Keeps at most this many results, the latest; without ``keep_results_for``, it keeps "
            "them for ten years.",
        ),
        Setting(
            "keep_stalled_for",
            _JOB,
            *_seconds("no limit"),
            "Maintenance retracts a stalled job after this long; until then the job takes memory.",
        ),
        Setting(
            "keep_stalled",
            _JOB,
            *_number("jobs", "no limit"),
            "Maintenance keeps at most this many stalled jobs, the latest, and retracts the "
            "others.",
        ),
    )
}


def setting_from(config: Mapping[str, str], name: str) -> str:
    """Read a setting of a stored configuration: its value, or its default."""
    return config.get(name, SETTINGS[name].default)


def limit_from(config: Mapping[str, str], name: str) -> int:
    """Read a whole number of a stored configuration as the scripts do.

    Other programs can store anything; what is not a whole number counts as 0.
    """
    text = setting_from(config, name)
    return int(text) if _is_number(text) else 0


def _bare(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


_BARE_NAMES = {_bare(name): name for name in SETTINGS}


def nearest(name: str) -> str | None:
    """Give the setting that an unknown name is close to: probably the one that was meant."""
    if name in SETTINGS:
        return None
    found = difflib.get_close_matches(_bare(name), _BARE_NAMES, 1, SIMILAR)
    return _BARE_NAMES[found[0]] if found else None
