"""The commands that place items in sorted feeds, and ``edit``."""

from __future__ import annotations

import os

import click
from twisted.internet.defer import Deferred

from txthoonk.cli._command import Session, command
from txthoonk.cli._common import CommandError, existing, item_from, load_lines
from txthoonk.cli._output import show
from txthoonk.errors import FeedTypeMismatch
from txthoonk.types import Job, SortedFeed

__all__ = ["COMMANDS"]

before_option = click.option("--before", metavar="ID", help="Place it before this item.")
after_option = click.option("--after", metavar="ID", help="Place it after this item.")


@command("thoonk append todo 'buy bread'", "thoonk append todo < list.txt")
@click.argument("feed")
@click.argument("item", required=False)
async def append(session: Session, feed: str, item: str | None) -> None:
    """Add an item, or each line of input, at the end of a sorted feed.

    Prints the id of the item.
    """
    async with session.publisher() as pub:
        target: SortedFeed = await existing(pub, feed, SortedFeed, stored=False)
        if item is None:
            await load_lines(session.reactor, target, target.append, "appended")
        else:
            show(await target.append(item_from(target, os.fsencode(item))))


@command("thoonk prepend todo 'feed the cat'")
@click.argument("feed")
@click.argument("item")
async def prepend(session: Session, feed: str, item: str) -> None:
    """Add an item at the beginning of a sorted feed.

    Prints the id of the item.
    """
    async with session.publisher() as pub:
        target: SortedFeed = await existing(pub, feed, SortedFeed, stored=False)
        show(await target.prepend(item_from(target, os.fsencode(item))))


@command("thoonk insert todo 'buy butter' --after 1", "thoonk insert todo 'call Ann' --before 2")
@click.argument("feed")
@click.argument("item")
@before_option
@after_option
async def insert(
    session: Session, feed: str, item: str, before: str | None, after: str | None
) -> None:
    """Add an item to a sorted feed, before or after another item.

    Prints the id of the item.
    """
    _check_one(before=before, after=after)
    async with session.publisher() as pub:
        target: SortedFeed = await existing(pub, feed, SortedFeed, stored=False)
        content = item_from(target, os.fsencode(item))
        if before is not None:
            show(await target.publish_before(before, content))
        else:
            show(await target.publish_after(after or "", content))


@command("thoonk move todo 3 --before 1", "thoonk move todo 3 --first")
@click.argument("feed")
@click.argument("id_", metavar="ID")
@before_option
@after_option
@click.option("--first", is_flag=True, help="Place it at the beginning.")
@click.option("--last", is_flag=True, help="Place it at the end.")
async def move(
    session: Session,
    feed: str,
    id_: str,
    before: str | None,
    after: str | None,
    first: bool,
    last: bool,
) -> None:
    """Move an item of a sorted feed."""
    _check_one(before=before, after=after, first=first or None, last=last or None)
    async with session.publisher() as pub:
        target: SortedFeed = await existing(pub, feed, SortedFeed)
        await _moved(target, id_, before, after, first)


def _moved(
    target: SortedFeed, id_: str, before: str | None, after: str | None, first: bool
) -> Deferred[None]:
    if before is not None:
        return target.move_before(before, id_)
    if after is not None:
        return target.move_after(after, id_)
    return target.move_first(id_) if first else target.move_last(id_)


def _check_one(**places: object) -> None:
    """Check that the user gave exactly one place.

    :raises CommandError: if not.
    """
    if sum(place is not None for place in places.values()) != 1:
        *others, last = (f"--{name}" for name in places)
        raise CommandError(f"give one of {', '.join(others)} and {last}")


@command("thoonk edit todo 3 'buy brown bread'", "thoonk edit mail bob 'write to Robert'")
@click.argument("feed")
@click.argument("id_", metavar="ID")
@click.argument("item")
async def edit(session: Session, feed: str, id_: str, item: str) -> None:
    """Replace an item of a sorted feed, or the item of a job.

    In a feed of type feed, 'thoonk publish --id' replaces an item.
    """
    async with session.publisher() as pub:
        try:
            target: SortedFeed | Job = await existing(pub, feed, SortedFeed, Job, stored=False)
        except FeedTypeMismatch as error:
            raise CommandError(
                f"{error} ('thoonk publish --id' replaces items of feeds)"
            ) from None
        await target.edit(id_, item_from(target, os.fsencode(item)))


COMMANDS = (append, prepend, insert, move, edit)
