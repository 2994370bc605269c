"""Every verb on a server that refuses the login, has no free connection, or drops the client.

Also when another program stored a key of another type in place of one of txthoonk's.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.resources import files

from tests.faults.each import each_verb
from tests.faults.outcomes import record
from tests.faults.server_cells import CellTestCase, Run
from tests.faults.verbs import Verb
from tests.support.server import reactor
from tests.support.waiting import until
from txthoonk.wire._scripts import load

SECRET = "secret"
REASON = "Authentication required"
WAIT = 15.0  # seconds; more than the 10 that a call waits for a connection
BIG = 2_000_000  # bytes of a reply, more than the server may buffer for a client:
SMALL = "normal 1000000 0 0 pubsub 1000000 0 0"
USUAL = "normal 0 0 0 pubsub 33554432 8388608 60"

#: The digests of all scripts.
DIGESTS = [
    load(f"{folder.name}/{path.name.removesuffix('.lua')}").sha
    for folder in (files("txthoonk") / "scripts").iterdir()
    if folder.name != "include"
    for path in folder.iterdir()
]


async def noauth(case: StrangerTests, verb: Verb) -> None:
    """A call without the password waits as long as for a connection, and fails with the reason.

    A service does not have the new password, so its connections are closed. A subscriber that
    connects only then fails at once.
    """
    fault = partial(case.faulty.password, SECRET)
    if "thoonk" in verb.on:
        word = await case.observe(
            verb, fault, "thoonk", says=(REASON,), first=case.lock_out, then=case.wait_in_vain
        )
    else:
        word = await case.observe(verb, fault, says=(REASON,), late=True)
    record(verb.name, "noauth", word)


async def maxclients(case: CellTestCase, verb: Verb) -> None:
    """An object that is connected does not notice; one that needs a connection waits."""
    record(verb.name, "maxclients", await case.observe(verb, case.faulty.crowded, inside=True))


async def noscript(case: StrangerTests, verb: Verb) -> None:
    """A server that lost its scripts receives them again, and the call succeeds."""
    word = await case.observe(verb, case.forgetful, first=case.know_scripts, inside=True)
    record(verb.name, "noscript", word)
    if verb.kind == "write" and not verb.name.startswith(("redis.", "publish_channel")):
        case.assertGreater(case.missed, 0)


async def buffer(case: StrangerTests, verb: Verb) -> None:
    """The server drops a client that does not read its replies; later calls are not executed."""
    if verb.kind == "listen":
        word = await case.observe(verb, case.small_buffers, then=case.overflow_subscriber)
    else:
        word = await case.observe(verb, case.small_buffers, first=case.overflow)
        if word in ("done", "answered"):
            word = "waits, then done"  # it waits for a connection, and the time that takes varies
    record(verb.name, "buffer", word)


@each_verb(noauth=noauth, maxclients=maxclients, noscript=noscript, buffer=buffer)
class StrangerTests(CellTestCase):
    """Each verb does what the table says, and nothing is half done."""

    halfway = True

    # -- passwords -------------------------------------------------------------------------

    async def lock_out(self, run: Run) -> None:
        """Close the connections of a service, and wait until reconnecting has failed."""
        for redis in (run.thing.redis, run.thing._sub.redis):
            number = await redis.send("CLIENT", "ID")
            await self.faulty.ask("CLIENT", "KILL", "ID", number)
        await until(
            lambda: (
                run.thing._connections.publisher.failures
                and run.thing._connections.subscriber.failures
            )
        )

    async def wait_in_vain(self, run: Run) -> None:
        """Let the time pass that calls wait for a connection."""
        await self.settle(run)
        await self.pass_time(WAIT)
        await self.settle(run)

    # -- scripts ---------------------------------------------------------------------------

    def know_scripts(self, run: Run) -> None:
        """Make a connection believe that it has loaded every script."""
        redis = run.thing.redis._redis if run.on == "thoonk" else run.thing.redis
        redis._loaded.update(DIGESTS)

    @asynccontextmanager
    async def forgetful(self) -> AsyncIterator[None]:
        """Remove the scripts from the server, and count the NOSCRIPT replies."""
        before = await self._missed()
        async with self.faulty.no_scripts():
            yield
        self.missed = await self._missed() - before

    async def _missed(self) -> int:
        stats = await self.faulty.ask("INFO", "errorstats")
        found = re.search(rb"errorstat_NOSCRIPT:count=(\d+)", stats)
        return int(found[1]) if found else 0

    # -- buffers ---------------------------------------------------------------------------

    @asynccontextmanager
    async def small_buffers(self) -> AsyncIterator[None]:
        """Make the server drop clients with large output buffers."""
        await self.faulty.set("client-output-buffer-limit", SMALL)
        try:
            yield
        finally:
            await self.faulty.set("client-output-buffer-limit", USUAL)

    def overflow(self, run: Run) -> None:
        """Request more than the server may buffer, on the connection that the call will use."""
        asked = run.thing.redis.send("EVAL", f"return string.rep('x', {BIG})", 0)
        asked.addErrback(lambda _: None)

    async def overflow_subscriber(self, run: Run) -> None:
        """Overflow the connection that receives the events, once it is subscribed."""
        await self.settle(run)
        redis = run.thing._sub.redis if run.on == "thoonk" else run.thing.redis
        await redis.send("PING", "x" * BIG).addErrback(lambda _: None)
        if run.on == "thoonk":
            await run.thing.whenConnected()
            await run.thing._sub.redis.send("PING")  # answered after the new subscriptions
        else:
            # A factory that was passed to connectTCP reconnects in the same way.
            await self.target.endpoint(reactor).connect(run.thing.factory)
            await run.thing.redis.send("PING")
