"""Every verb where the server does not know us, has no place for us, or drops us.

And where somebody else has put a key of another type into the place of one of ours.
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
WAIT = 15.0  # seconds: more than the 10 that a call waits for a connection
BIG = 2_000_000  # bytes of an answer, which are more than a client may have wait:
SMALL = "normal 1000000 0 0 pubsub 1000000 0 0"
USUAL = "normal 0 0 0 pubsub 33554432 8388608 60"

#: Those of all scripts.
DIGESTS = [
    load(f"{folder.name}/{path.name.removesuffix('.lua')}").sha
    for folder in (files("txthoonk") / "scripts").iterdir()
    if folder.name != "include"
    for path in folder.iterdir()
]


async def noauth(case: StrangerTests, verb: Verb) -> None:
    """Who has not the password waits as long as he would for a connection, and is told why.

    The connections of a service are ended when the password comes, of which it does not know.
    A subscriber that is connected only then is told at once.
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
    """Who has his connections does not notice; who needs another one waits for it."""
    record(verb.name, "maxclients", await case.observe(verb, case.faulty.crowded, inside=True))


async def noscript(case: StrangerTests, verb: Verb) -> None:
    """A server that has forgotten the scripts is told them again, and nobody notices."""
    word = await case.observe(verb, case.forgetful, first=case.know_scripts, inside=True)
    record(verb.name, "noscript", word)
    if verb.kind == "write" and not verb.name.startswith(("redis.", "publish_channel")):
        case.assertGreater(case.missed, 0)


async def buffer(case: StrangerTests, verb: Verb) -> None:
    """A client whose answers are not taken is dropped: what it called behind is not done."""
    if verb.kind == "listen":
        word = await case.observe(verb, case.small_buffers, then=case.overflow_subscriber)
    else:
        word = await case.observe(verb, case.small_buffers, first=case.overflow)
        if word in ("done", "answered"):
            word = "waits, then done"  # for a connection; how soon that comes is a matter of luck
    record(verb.name, "buffer", word)


@each_verb(noauth=noauth, maxclients=maxclients, noscript=noscript, buffer=buffer)
class StrangerTests(CellTestCase):
    """What a verb does is known, and nothing is half done."""

    halfway = True

    # -- passwords -------------------------------------------------------------------------

    async def lock_out(self, run: Run) -> None:
        """End the connections of a service, and wait until it has tried in vain."""
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
        """Let a connection be one that has loaded every script before."""
        redis = run.thing.redis._redis if run.on == "thoonk" else run.thing.redis
        redis._loaded.update(DIGESTS)

    @asynccontextmanager
    async def forgetful(self) -> AsyncIterator[None]:
        """Forget the scripts, and count how often they are missed."""
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
        """Drop clients for whom more waits than that."""
        await self.faulty.set("client-output-buffer-limit", SMALL)
        try:
            yield
        finally:
            await self.faulty.set("client-output-buffer-limit", USUAL)

    def overflow(self, run: Run) -> None:
        """Ask for more than may wait, on the connection that the call will take."""
        asked = run.thing.redis.send("EVAL", f"return string.rep('x', {BIG})", 0)
        asked.addErrback(lambda _: None)

    async def overflow_subscriber(self, run: Run) -> None:
        """The same on the connection that the events come on, once they do."""
        await self.settle(run)
        redis = run.thing._sub.redis if run.on == "thoonk" else run.thing.redis
        await redis.send("PING", "x" * BIG).addErrback(lambda _: None)
        if run.on == "thoonk":
            await run.thing.whenConnected()
            await run.thing._sub.redis.send("PING")  # behind what it subscribes to again
        else:
            # As a factory does that was given to connectTCP.
            await self.target.endpoint(reactor).connect(run.thing.factory)
            await run.thing.redis.send("PING")
