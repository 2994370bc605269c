"""The table of settings: it is the only one, and its checks are right."""

from __future__ import annotations

import re
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support.settings import TABLE, render
from tests.support.wire import FOLDER, NAMES
from txthoonk.client import ThoonkPub
from txthoonk.errors import FeedTypeMismatch, InvalidInput
from txthoonk.testing._rules import OWNED
from txthoonk.wire._feed_config import check_value, config_fields
from txthoonk.wire._settings import FEED_TYPES, SETTINGS, limit_from, nearest, setting_from

#: Matches the places where a script reads fields of a configuration.
READ = re.compile(
    r"(?:open_feed\(feeds, config, name|config_value\(config|'HM?GET', config)([^()]*)\)"
)
#: The folders of scripts that only some feed types use -> these types.
FOLDERS = {
    "feed": {"feed"},
    "sorted_feed": {"sorted_feed"},
    "queue": {"queue", "pyqueue"},
    "job": {"job"},
}


def read_by(source: str) -> set[str]:
    """Return the settings that a script reads."""
    return set(re.findall(r"'(\w+)'", "".join(READ.findall(source))))


class ScriptTests(SynchronousTestCase):
    """The Lua scripts read exactly the settings of the table."""

    def test_known(self) -> None:
        """A script reads no unknown setting, and none that its feed types do not have."""
        for name in NAMES:
            types = FOLDERS.get(name.partition("/")[0], set())
            for setting in read_by((FOLDER / f"{name}.lua").read_text("utf-8")):
                self.assertIn(setting, SETTINGS, name)
                having = {*SETTINGS[setting].types}
                if setting == "serializer":
                    having.add("pyqueue")  # it sends none, so the scripts of queues ignore it
                self.assertLessEqual(types, having, f"{name} {setting}")

    def test_all(self) -> None:
        """Every setting is read by some script, and no other field is."""
        sources = [path.read_text("utf-8") for path in FOLDER.rglob("*.lua")]
        self.assertEqual(set[str]().union(*map(read_by, sources)), {*SETTINGS})


class TableTests(SynchronousTestCase):
    """The table is complete, and the page shows it."""

    def test_page(self) -> None:
        """The committed page equals the table of the settings."""
        about = "python -m tests.support.settings > docs/settings.inc"
        self.assertEqual(TABLE.read_text(), render(), about)

    def test_defaults(self) -> None:
        """Every default is an accepted value."""
        for setting in SETTINGS.values():
            setting.check(setting.default)

    def test_types(self) -> None:
        """Every setting names known feed types, in order, and all places know these types."""
        for setting in SETTINGS.values():
            types = tuple(type_ for type_ in FEED_TYPES if type_ in setting.types)
            self.assertEqual(setting.types, types)
        for type_ in FEED_TYPES:
            self.assertTrue(callable(getattr(ThoonkPub, type_)))
        self.assertEqual({*OWNED}, {*FEED_TYPES})
        source = (FOLDER / "include" / "wrong_type.lua").read_text("utf-8")
        self.assertEqual(tuple(re.findall(r"(\w+) = '", source)), FEED_TYPES)

    def test_sentences(self) -> None:
        """Every setting is described in one sentence."""
        for setting in SETTINGS.values():
            self.assertRegex(setting.about, r"^[A-Z][^.!?]+\.$")

    def test_stored(self) -> None:
        """A setting that is missing or malformed in a stored configuration has its default."""
        self.assertEqual(setting_from({}, "serializer"), "text")
        self.assertEqual(setting_from({"serializer": "json"}, "serializer"), "json")
        self.assertEqual(limit_from({}, "max_length"), 0)
        self.assertEqual(limit_from({"max_length": "7"}, "max_length"), 7)
        for nonsense in ("soon", "-1", "1.5", "", "\u0663", "9" * 5000):
            self.assertEqual(limit_from({"max_length": nonsense}, "max_length"), 0)


class CheckTests(SynchronousTestCase):
    """Which values and names are accepted, and which are refused."""

    def test_values(self) -> None:
        """Each setting accepts the values of its range, and refuses those beyond its ends."""
        most = "9" * 15
        for name, good, bad in (
            ("max_length", ("0", "1", most), (most + "0", "-1", "1.5", "1e3", " 5", "", "\u0663")),
            ("paused", ("0", "1"), ("", "2", "01", "yes")),
            ("timeout", ("0", "0.5", "1e3", "1000000000"), ("1000000001", "-1", "nan", "1_0")),
            ("serializer", ("text", "bytes", "json"), ("", "TEXT", "pickle")),
            ("title", ("", "anything"), ()),
        ):
            for text in good:
                check_value(name, text)
            for text in bad:
                error = self.assertRaises(InvalidInput, check_value, name, text)
                self.assertIn(repr(text), str(error))

    def test_similar_names(self) -> None:
        """A misspelled setting is recognized, and a user's own field is not mistaken for one."""
        for name, right in (
            ("max_lenght", "max_length"),
            ("max-length", "max_length"),
            ("maxLen", "max_length"),
            ("max_items", None),
            ("timout", "timeout"),
            ("time_out", "timeout"),
            ("time", None),
            ("ttl", None),
            ("tpye", "type"),
            ("title", None),
            ("pause", "paused"),
            ("serialiser", "serializer"),
            ("max_failure", "max_failures"),
            ("max_retries", None),
            ("keep_result", "keep_results"),
            ("keep_results_fore", "keep_results_for"),
            ("a", None),
            ("é\0\n", None),
            ("", None),
            ("description", None),
            ("owner", None),
            ("x" * 1_000_000, None),
        ):
            self.assertEqual(nearest(name), right, name[:100])
        for name in SETTINGS:
            self.assertIsNone(nearest(name))

    def test_type_in_the_configuration(self) -> None:
        """The type in a configuration prevails over the type that the caller expects."""
        config: Any = {"type": "job", "timeout": 1}
        fields = ["type", "job", "timeout", "1"]
        self.assertEqual(config_fields(config, "feed"), fields)
        config = {"type": "queue", "max_length": 1}
        self.assertRaises(FeedTypeMismatch, config_fields, config, "feed")
        self.assertEqual(
            config_fields(config, "feed", force=True), ["type", "queue", "max_length", "1"]
        )

    def test_numbers(self) -> None:
        """A setting's whole number is stored without a fraction; other numbers are unchanged."""
        config = {"max_length": 5.0, "version": 5.0}
        self.assertEqual(config_fields(config, "feed"), ["max_length", "5", "version", "5.0"])
