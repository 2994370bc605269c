"""The table of the page "Settings of a feed", generated from the table of settings.

::

    python -m tests.support.settings > docs/settings.inc
"""

from __future__ import annotations

from pathlib import Path

from txthoonk.wire._settings import SETTINGS, Setting

__all__ = ["TABLE", "render"]

TABLE = Path(__file__).parents[2] / "docs" / "settings.inc"

HEAD = """\
.. Made by "python -m tests.support.settings", from txthoonk/wire/_settings.py: do not edit.

.. list-table::
   :header-rows: 1
   :widths: 16 16 22 8 38

   * - Setting
     - Feed types
     - Value
     - Default
     - Effect
"""


def render() -> str:
    """Return the table as reST."""
    return HEAD + "".join(map(_row, SETTINGS.values()))


def _row(setting: Setting) -> str:
    cells = (
        f"``{setting.name}``",
        ", ".join(f"``{type_}``" for type_ in setting.types),
        setting.expected,
        f"``{setting.default}``",
        setting.about,
    )
    first, *others = cells
    return f"   * - {first}\n" + "".join(f"     - {cell}\n" for cell in others)


if __name__ == "__main__":
    print(render(), end="")
