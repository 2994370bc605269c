"""The settings in the help of ``thoonk create``."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txthoonk.cli._settings_help import WIDTH, settings_help
from txthoonk.wire._settings import SETTINGS


class HelpTests(SynchronousTestCase):
    def test_all(self) -> None:
        """Each setting is listed once, under the types that have it, with its default."""
        types, seen = "", {}
        for line in settings_help().splitlines():
            self.assertLessEqual(len(line), WIDTH)
            if line.startswith("    ") and line[4] != " ":
                seen[line.split()[0]] = types
            elif line.startswith("  ") and line[2] != " ":
                types = line.strip(" :")
        self.assertEqual(
            seen, {name: ", ".join(setting.types) for name, setting in SETTINGS.items()}
        )
        self.assertEqual(settings_help().count("default:"), len(SETTINGS))
