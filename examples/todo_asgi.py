"""The to-do list of ``todo.py`` as an ASGI application: txthoonk in a program that asyncio runs.

::

    uvicorn --app-dir examples --timeout-graceful-shutdown 3 todo_asgi:app

Any ASGI server will do.  ``THOONK_URL`` is the URL of your Redis; without it, the application
starts a private one.

There is nothing to prepare: ``async with Thoonk(url)`` finds the loop that runs, and tasks can
await what txthoonk returns.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import todo_list

from txthoonk import Feed, InvalidInput, Thoonk, ThoonkError

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class App:
    """The application: one Thoonk for all requests of the process."""

    thoonk: Thoonk
    feed: Feed

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        method, path = scope["method"], scope["path"]
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        if path == "/":
            await answer(send, 200, todo_list.PAGE, b"text/html; charset=utf-8")
        elif path == "/events":
            await self._events(headers.get("last-event-id"), receive, send)
        elif path == "/items" or path.startswith("/items/"):
            id_, body = path[len("/items/") :], await read(receive)
            seen = headers.get("if-match")
            status, text = await todo_list.change(self.feed, method, id_, body, seen)
            await answer(send, status, text.encode())
        else:
            await answer(send, 404, b"not found")

    async def _live(self, receive: Receive, send: Send) -> None:
        """Connect before the first request, and close after the last."""
        await receive()
        try:
            async with Thoonk(os.environ.get("THOONK_URL", "embedded:")) as self.thoonk:
                self.feed = await todo_list.open_list(self.thoonk)
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except (ThoonkError, OSError) as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
        else:
            await send({"type": "lifespan.shutdown.complete"})

    async def _events(self, cursor: str | None, receive: Receive, send: Send) -> None:
        async with asyncio.TaskGroup() as group:
            following = group.create_task(self._follow(cursor, send))
            await disconnected(receive)
            following.cancel()

    async def _follow(self, cursor: str | None, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
        try:
            async with aclosing(todo_list.messages(self.thoonk, cursor)) as messages:
                first = await anext(messages)
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                await send({"type": "http.response.body", "body": first, "more_body": True})
                # The server waits in send() for a browser that reads slowly.
                async for message in messages:
                    await send({"type": "http.response.body", "body": message, "more_body": True})
        except InvalidInput as error:
            await answer(send, 400, str(error).encode())


async def disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def read(receive: Receive) -> bytes:
    body = b""
    while len(body) <= todo_list.LONGEST:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return body


async def answer(send: Send, status: int, body: bytes, kind: bytes = b"text/plain") -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


app = App()
