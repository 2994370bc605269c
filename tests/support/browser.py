"""HTTP as browsers speak it: requests, and server-sent events."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

from twisted.internet import reactor
from twisted.internet.protocol import Protocol
from twisted.web.client import Agent, FileBodyProducer, HTTPConnectionPool, readBody
from twisted.web.http_headers import Headers

from tests.support.waiting import until

__all__ = ["Browser", "EventSource"]


class EventSource(Protocol):
    """Reads server-sent events.

    :ivar last: the id of the last event that has one.
    :ivar data: the data of all events.
    """

    def __init__(self) -> None:
        self.last: str | None = None
        self.data: list[dict[str, Any]] = []
        self._received = ""

    def dataReceived(self, data: bytes) -> None:
        self._received += data.decode()
        *messages, self._received = self._received.split("\n\n")
        for message in messages:
            fields = dict(line.split(": ", 1) for line in message.splitlines())
            self.last = fields.get("id", self.last)
            if "data" in fields:
                self.data.append(json.loads(fields["data"]))

    async def came(self, count: int) -> list[dict[str, Any]]:
        """Wait for a number of events."""
        await until(lambda: len(self.data) >= count)
        return self.data

    def close(self) -> None:
        """Leave, as a browser that closes its window."""
        transport: Any = self.transport
        transport.loseConnection()


class Browser:
    """Talks to a web server on this machine."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._agent = Agent(reactor, pool=HTTPConnectionPool(reactor, persistent=False))

    async def ask(
        self, method: str, path: str, body: str = "", **headers: str
    ) -> tuple[int, bytes]:
        """Send a request; return the status and the body of the response."""
        response = await self._request(method, path, body, headers)
        return response.code, await readBody(response)

    async def listen(self, path: str, last: str | None = None) -> EventSource:
        """Begin to read events."""
        response = await self._request(
            "GET", path, "", {} if last is None else {"last_event_id": last}
        )
        source = EventSource()
        response.deliverBody(source)
        return source

    async def _request(self, method: str, path: str, body: str, headers: dict[str, str]) -> Any:
        made = Headers({name.replace("_", "-"): [value] for name, value in headers.items()})
        content = FileBodyProducer(BytesIO(body.encode())) if body else None
        return await self._agent.request(
            method.encode(), (self._url + path).encode(), made, content
        )
