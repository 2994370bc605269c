"""A service for ``twist``: a web server, a worker and their Redis, in one process.

::

    PYTHONPATH=examples twist thoonk-orders --redis embedded:./orders --port 8080

Order something, and look how far it is::

    curl -d "six eggs" http://localhost:8080/
    curl http://localhost:8080/ID

``thoonk_orders_plugin.py`` registers it with ``twist`` (and ``twistd -n``).  Each part is a
service of its own, and the whole is a MultiService: it starts and stops them together.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.application.internet import StreamServerEndpointService
from twisted.application.service import IService, MultiService, Service
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import deferLater
from twisted.python.usage import Options as UsageOptions
from twisted.python.usage import UsageError
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from txthoonk import Claim, ConnectionLost, Empty, InvalidInput, Job, JobStalled, Thoonk, Worker

FEED = "orders"
CONFIG = {"timeout": 60, "max_failures": 3, "keep_results_for": 86400, "history": 1000}
LONGEST = 1000  # bytes of an order
WAIT = 5.0  # seconds that GET waits for the result


class Options(UsageOptions):
    optParameters = [
        ["redis", "r", "redis://localhost:6379/0", "The URL of Redis."],
        ["port", "p", 8080, "The port of the web server, on this machine only.", int],
    ]


def makeService(options: Options) -> IService:
    from twisted.internet import reactor

    whole = MultiService()
    try:
        thoonk = Thoonk(options["redis"], reactor)
    except InvalidInput as error:
        raise UsageError(str(error)) from error
    thoonk.setServiceParent(whole)
    shop = Shop(thoonk, reactor)
    shop.setServiceParent(whole)
    endpoint = serverFromString(reactor, f"tcp:{options['port']}:interface=127.0.0.1")
    StreamServerEndpointService(endpoint, Site(Orders(shop))).setServiceParent(whole)
    return whole


class Shop(Service):
    """Opens the feed of orders as soon as Redis is there, and works on them."""

    def __init__(self, thoonk: Thoonk, reactor: Any) -> None:
        self._thoonk = thoonk
        self._reactor = reactor
        self._worker: Worker | None = None
        self.opened: Deferred[None] | None = None

    def startService(self) -> None:
        super().startService()
        self.opened = Deferred.fromCoroutine(self._open())
        self.opened.addErrback(lambda failure: failure.trap(ConnectionLost))  # stopped before

    async def _open(self) -> None:
        await self._thoonk.whenConnected()
        job = await self.job()
        self._worker = Worker(job, self.ship, concurrency=10)
        self._worker.startService()

    def job(self) -> Deferred[Job]:
        return self._thoonk.job(FEED, CONFIG)

    async def ship(self, claim: Claim) -> str:
        """Work on an order.  If the process dies meanwhile, another one begins again."""
        await claim.progress(1, 2, "packing")
        await deferLater(self._reactor, 0.1)  # in a real shop: call the warehouse
        return f"shipped: {claim.item}"

    async def stopService(self) -> None:
        super().stopService()
        if self._worker is not None:
            await self._worker.stopService()  # ends the orders that are being packed


class Orders(Resource):
    """POST / orders something; GET /ID says how far it is."""

    isLeaf = True

    def __init__(self, shop: Shop) -> None:
        super().__init__()
        self._shop = shop

    def render(self, request: Request) -> int:
        answering = Deferred.fromCoroutine(self._answer(request))
        answering.addErrback(request.processingFailed)
        return NOT_DONE_YET

    async def _answer(self, request: Request) -> None:
        try:
            status, answer = await self._do(request)
        except ConnectionLost as error:
            status, answer = 503, {"error": str(error)}
        except InvalidInput as error:
            status, answer = 400, {"error": str(error)}
        request.setResponseCode(status)
        request.setHeader("content-type", "application/json")
        request.write(json.dumps(answer).encode() + b"\n")
        request.finish()

    async def _do(self, request: Request) -> tuple[int, dict[str, object]]:
        job = await self._shop.job()
        if request.method == b"POST":
            body = request.content.read(LONGEST + 1)
            if not 0 < len(body) <= LONGEST:
                return 400, {"error": f"an order has 1 to {LONGEST} bytes"}
            return 201, {"id": await job.put(body.decode("utf-8", "replace"))}
        return await state_of(job, request.path.decode("utf-8", "replace")[1:])


async def state_of(job: Job, id_: str) -> tuple[int, dict[str, object]]:
    """Return what is known of an order; wait a moment for one that is under way."""
    try:
        return 200, {"result": await job.wait(id_, WAIT)}
    except JobStalled as error:
        return 200, {"failed": str(error)}
    except Empty:
        if await job.has_id(id_):
            return 202, {"state": "in progress"}
        return 404, {"error": "no such order"}
