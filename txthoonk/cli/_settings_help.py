"""The part of ``thoonk create --help`` that lists the settings of each feed type."""

from __future__ import annotations

import textwrap
from itertools import groupby

from txthoonk.wire._settings import SETTINGS, Setting

__all__ = ["settings_help"]

WIDTH = 76  # characters; click indents by 2
COLUMN = 22  # where the descriptions begin


def settings_help() -> str:
    """Return all settings as lines of text, grouped by the feed types that have them."""
    ranked = sorted(SETTINGS.values(), key=lambda setting: -len(setting.types))
    lines = ["Settings:"]
    for types, settings in groupby(ranked, lambda setting: setting.types):
        lines.append(f"  {', '.join(types)}:")
        for setting in settings:
            lines += _described(setting)
    return "\n".join(lines)


def _described(setting: Setting) -> list[str]:
    about = setting.about.replace("``", "")
    return textwrap.wrap(
        f"{about} [{setting.expected}; default: {setting.default}]",
        WIDTH,
        initial_indent=f"    {setting.name}".ljust(COLUMN - 1) + " ",
        subsequent_indent=" " * COLUMN,
    )
