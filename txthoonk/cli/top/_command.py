"""``thoonk top``: the command; what it does is in ``_live``."""

from __future__ import annotations

import click

from txthoonk.cli._command import Session, command, seconds_option

__all__ = ["top"]


@command(
    "thoonk top",
    "thoonk top mail 'team:*' --interval 5",
    "thoonk top --once --json",
    endless=True,
)
@click.argument("patterns", metavar="[FEED_OR_PATTERN]...", nargs=-1)
@seconds_option(
    "--interval",
    help="The time between two readings (default: 1). With --once: read twice, this long apart, "
    "to measure rates.",
)
@click.option("--once", is_flag=True, help="Print the state once, and end.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object for each reading.")
async def top(
    session: Session, patterns: tuple[str, ...], interval: float | None, once: bool, as_json: bool
) -> None:
    """Show feeds and workers as they change.

    The busiest feeds come first. Without a name or pattern, all feeds are shown. Press q to quit.
    """
    # rich is slow to import, and no other command needs it.
    from txthoonk.cli.top._live import run

    await run(session, patterns, interval, once, as_json)
