"""A to-do list that browsers share, live: server-sent events with exact resume, and conflicts.

::

    python examples/todo.py --port 8080

Then open http://localhost:8080/ in two windows, and change the list in both.  Restart this
program or Redis meanwhile: the windows continue where they were.  If you change an item that
another window has just changed, you see its change, and nothing is overwritten.

``todo_asgi.py`` is the same under asyncio.
"""

from __future__ import annotations

import argparse
from contextlib import aclosing
from typing import Any

import todo_list
from example_tools import connected, parser, run
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from twisted.web.static import Data
from zope.interface import implementer

from txthoonk import Feed, InvalidInput, Thoonk


async def main(reactor: Any, options: argparse.Namespace) -> None:
    async with connected(options.url, reactor) as thoonk:
        root = Resource()
        root.putChild(b"", Data(todo_list.PAGE, "text/html; charset=utf-8"))
        root.putChild(b"events", Events(thoonk))
        root.putChild(b"items", Items(await todo_list.open_list(thoonk)))
        endpoint = TCP4ServerEndpoint(reactor, options.port, interface="127.0.0.1")
        port = await endpoint.listen(Site(root))
        print(f"open http://localhost:{port.getHost().port}/", flush=True)
        try:
            await Deferred()  # until Ctrl-C
        finally:
            await port.stopListening()


class Events(Resource):
    """The list, and its changes."""

    isLeaf = True

    def __init__(self, thoonk: Thoonk) -> None:
        super().__init__()
        self._thoonk = thoonk

    def render_GET(self, request: Request) -> int:
        following = Deferred.fromCoroutine(self._follow(request))
        request.notifyFinish().addErrback(lambda _: following.cancel())
        following.addErrback(lambda failure: failure.trap(CancelledError))
        return NOT_DONE_YET

    async def _follow(self, request: Request) -> None:
        request.setHeader("content-type", "text/event-stream")
        request.setHeader("cache-control", "no-store")
        pace = Pace(request)
        cursor = request.getHeader("last-event-id")
        try:
            async with aclosing(todo_list.messages(self._thoonk, cursor)) as messages:
                async for message in messages:
                    await pace.ready()
                    request.write(message)
        except InvalidInput as error:
            request.setResponseCode(400)
            request.write(str(error).encode())
        request.unregisterProducer()
        request.finish()


@implementer(IPushProducer)
class Pace:
    """Waits for a browser that reads slowly.  What it misses meanwhile stays in Redis."""

    def __init__(self, request: Request) -> None:
        self._paused: Deferred[None] | None = None
        request.registerProducer(self, streaming=True)

    async def ready(self) -> None:
        if self._paused is not None:
            await self._paused

    def pauseProducing(self) -> None:
        self._paused = self._paused or Deferred()

    def resumeProducing(self) -> None:
        paused, self._paused = self._paused, None
        if paused is not None:
            paused.callback(None)

    def stopProducing(self) -> None:
        """Do nothing: the end of the request cancels the coroutine."""


class Items(Resource):
    """Changes: POST items, PUT items/ID, DELETE items/ID."""

    isLeaf = True

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self._feed = feed

    def render(self, request: Request) -> int:
        changing = Deferred.fromCoroutine(self._change(request))
        changing.addErrback(self._failed, request)
        return NOT_DONE_YET

    async def _change(self, request: Request) -> None:
        id_ = "/".join(part.decode("utf-8", "replace") for part in request.postpath)
        body = request.content.read(todo_list.LONGEST + 1)
        seen = request.getHeader("if-match")
        status, text = await todo_list.change(
            self._feed, request.method.decode("latin-1"), id_, body, seen
        )
        request.setResponseCode(status)
        request.setHeader("content-type", "text/plain; charset=utf-8")
        request.write(text.encode())
        request.finish()

    def _failed(self, failure: Failure, request: Request) -> None:
        request.processingFailed(failure)


if __name__ == "__main__":
    made = parser(__doc__)
    made.add_argument("--port", type=int, default=8080)
    run(main, made.parse_args())
