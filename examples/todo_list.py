"""A shared to-do list: what ``todo.py`` and ``todo_asgi.py`` have in common.

A browser gets the list as server-sent events.  The ``id`` of each is the cursor of the feed: a
browser that connects again sends the last one, and gets exactly what it has missed.  A change
names the revision that the browser shows, and is refused if the item has changed since.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

from txthoonk import Conflict, ConnectionLost, Event, Feed, NotSent, Thoonk

FEED = "todo"
PAGE = Path(__file__).with_suffix(".html").with_stem("todo").read_bytes()
LONGEST = 1000  # bytes of an item


async def open_list(thoonk: Thoonk) -> Feed:
    return await thoonk.feed(FEED, {"history": 1000})


async def messages(thoonk: Thoonk, cursor: str | None) -> AsyncIterator[bytes]:
    """Yield server-sent events: what follows a cursor, or the whole list and what follows that.

    :raises InvalidInput: if the cursor is none.
    """
    subscription = await thoonk.subscribe(FEED, since=cursor, snapshot=True)
    yield b"retry: 1000\n\n"  # the browser connects again after a second
    try:
        async for event in subscription:
            if message := encoded(event):
                yield message
    finally:
        await subscription.stop()


def encoded(event: Event) -> bytes:
    """Return the server-sent event for an event; empty if browsers need not know of it."""
    data: dict[str, object] = {"revision": event.revision}
    if event.kind == "snapshot":
        data["items"] = event.item
    elif event.kind in ("publish", "edit"):
        data["items"] = [(event.id, event.item)]
    elif event.kind == "retract":
        data["gone"] = event.id
    elif event.kind in ("resync", "delete", "create"):  # void what came before
        return b'data: {"reset": true}\n\n'
    else:
        return b""
    text = f"data: {json.dumps(data)}\n\n"
    # A browser that resumed after the first slices of a snapshot would miss the others.
    return (text if event.more else f"id: {event.cursor}\n{text}").encode()


async def change(
    feed: Feed, method: str, id_: str, body: bytes, seen: str | None
) -> tuple[int, str]:
    """Change the list as a browser asks.

    :param seen: the revision that the browser shows.
    :return: the HTTP status, and a text.
    """
    text = body.decode("utf-8", "replace").strip()
    if len(body) > LONGEST or (method != "DELETE" and not text):
        return 400, f"an item has 1 to {LONGEST} bytes"
    try:
        if method == "POST":
            return 201, await feed.publish(text)
        if seen is None or not seen.isascii() or not seen.isdigit():
            return 428, "If-Match must be the revision that you see"
        if method == "PUT":
            await feed.publish(text, id_, expect=int(seen))
        elif method == "DELETE":
            await feed.retract(id_, expect=int(seen))
        else:
            return 405, "POST, PUT or DELETE"
    except Conflict as conflict:
        return 409, str(conflict.item)
    except NotSent as error:
        return 503, f"not done: {error}"
    except ConnectionLost as error:
        return 503, f"perhaps done: {error}"
    return 200, "done"
