"""What all examples of a machine share: a server, clients and a subscriber.

A machine runs in a thread, which waits here until the reactor's thread has done a step.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from contextlib import suppress
from queue import Empty, Queue
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.python.failure import Failure

from tests.model.clients import BareClient, Client, Cut, PatientClient, turn
from tests.model.watcher import Watcher
from tests.support import Spy
from tests.support.waiting import until_answer, until_polled
from txthoonk.connections.addresses._url import Target
from txthoonk.protocol import Redis

__all__ = ["World"]

reactor: Any = installed_reactor  # mypy does not know the attributes of this module

STEP_TIMEOUT = 30  # seconds


class Over(BaseException):
    """The test no longer waits for the machine's result; Hypothesis lets this through."""


class World:
    """What all examples of a test share.

    :ivar clients: the publishers: two bare ones and a patient one.
    :ivar over: whether the test no longer waits for the end.
    :ivar failures: descriptions of the steps that failed so far.
    :ivar dirty: whether a step has failed, so that calls may still be in progress.
    """

    def __init__(self, target: Target, url: str, raw: Redis, spy: Spy) -> None:
        self.raw = raw
        self.spy = spy
        self.clients: list[Client] = []
        self.watcher = Watcher(url)
        self.dirty = True
        self.examples = 0
        self.failures: list[str] = []
        self.over = False
        self._doing: Deferred[Any] = succeed(None)
        self._target = target
        self._url = url

    def wait_for(self, step: Coroutine[Any, Any, Any]) -> None:
        """Run a step in the reactor's thread, and wait in this thread until it is done."""

        def begin() -> None:
            doing = self._doing = Deferred.fromCoroutine(step).addTimeout(STEP_TIMEOUT, reactor)
            doing.addBoth(done.put)

        done: Queue[Any] = Queue()
        reactor.callFromThread(begin)
        # When trial is interrupted, its reactor just stops, and this thread must end with it.
        while reactor.running and not self.over:
            with suppress(Empty):
                result = done.get(timeout=1)
                if isinstance(result, Failure):
                    result.raiseException()
                return
        raise Over

    async def end(self) -> None:
        """Close all connections, even while calls are in progress."""
        self.over = True
        self._doing.cancel()
        await self.close()

    async def ready(self, dirty: bool) -> None:
        """Connect the clients, and empty the database."""
        if dirty:
            await self.close()
            target = self._target
            self.clients = [BareClient(target), BareClient(target), PatientClient(self._url)]
            for client in self.clients:
                await client.resume()
            await self.watcher.start()
        await self.raw.flushdb()
        await self.spy.messages(own=True)

    async def close(self) -> None:
        clients, self.clients = self.clients, []
        await gatherResults([Deferred.fromCoroutine(client.close()) for client in clients])
        await self.watcher.close()

    async def cut(
        self, client: Client, calls: list[Callable[[], Deferred[Any]]], cut: Cut
    ) -> list[Deferred[Any]]:
        """Make calls on a connection that ends meanwhile, and wait for its end."""
        transport: Any = client.redis.transport
        if cut.how == "before":
            lost = client.sentinel()
            transport.abortConnection()
            await lost
            return [call() for call in calls]
        if cut.how == "deaf":
            transport.pauseProducing()  # no reply is read any more
        made = []
        for index, call in enumerate([*calls, None]):
            if cut.how in ("kill", "deaf") and index == min(cut.where, len(calls)):
                client.kill()
            if call is not None:
                made.append(call())
        lost, number = client.sentinel(), client.number
        if cut.how == "race":
            self.raw.send("CLIENT", "KILL", "ID", number)
        if cut.how == "deaf":
            await self.gone(number)
            transport.abortConnection()
        if cut.how == "abort":
            await self._turns(cut.where)
            transport.abortConnection()
        await lost
        # Calls sent before that may still be on their way to the server.
        await self.gone(number)
        return made

    async def _turns(self, count: int) -> None:
        for _ in range(count):
            await turn()

    async def gone(self, number: int) -> None:
        """Wait until the server has closed a connection."""
        await until_polled(
            lambda: self.raw.send("CLIENT", "LIST", "ID", number), lambda listed: not listed
        )

    async def somebody_blocks(self) -> int:
        """Wait until a connection blocks in BLMOVE, and return its number."""
        found = await until_answer(
            self._target.endpoint(reactor), self._blocked, credentials=self._target.credentials
        )
        return int(found[0])

    async def _blocked(self) -> list[bytes]:
        listed = await self.raw.send("CLIENT", "LIST")
        return re.findall(rb"(?m)^id=(\d+) .* flags=\w*b\w* .* cmd=blmove", listed)

    async def nobody_blocks(self) -> None:
        """Wait until no connection blocks in BLMOVE."""
        await until_polled(self._blocked, lambda found: not found)
