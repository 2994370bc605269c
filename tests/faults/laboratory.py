"""A test case that puts a proxy before the server, where verbs meet faults of their connections.

A call is made on a *victim*, whose connections all go through the proxy. Each of them has a role:
``publisher`` and ``subscriber`` exist from the start, and ``other 1``, ``other 2`` ... are opened
during the call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attr
from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred

from tests.faults.calls import Following
from tests.faults.outcomes import Reference, plain
from tests.faults.states import FEED
from tests.faults.verbs import Verb
from tests.support import READERS, RedisTestCase
from tests.support.proxy import Link, Proxy
from txthoonk import (
    ConnectionLost,
    Job,
    PythonQueue,
    Queue,
    Thoonk,
    ThoonkPubFactory,
    ThoonkSubFactory,
)
from txthoonk.consumers.gets import _patience
from txthoonk.protocol._opening import greeting

reactor: Any = installed_reactor

PATIENCE = 50  # seconds in which a call must end, whatever happens
ROUNDS = 4  # replies of the server without other traffic, after which all is taken to be quiet

#: Scripts that connections need not load, because the server of this run has them.
_loaded: set[str] = set()
_references: dict[tuple[str, str, bool], tuple[Reference, list[Passed]]] = {}

#: Receives each connection of a victim once, with its role.
Meet = Callable[[str, Link], object]


@attr.define
class Passed:
    """The traffic of one connection during a call.

    :ivar request: the bytes that the victim sent.
    :ivar reply: the bytes that the server replied.
    :ivar begun: the lengths of both logs before the call.
    :ivar needed: the bytes in both directions when the call ended.
    """

    role: str
    link: Link
    request: bytes = b""
    reply: bytes = b""
    begun: tuple[int, int] = (0, 0)
    needed: tuple[int, int] = (0, 0)

    @classmethod
    def begin(cls, role: str, link: Link) -> Passed:
        return cls(role, link, b"", b"", (len(link.request.log), len(link.reply.log)))

    def called(self) -> None:
        sizes = len(self.link.request.log), len(self.link.reply.log)
        self.needed = sizes[0] - self.begun[0], sizes[1] - self.begun[1]

    def end(self) -> None:
        self.request = bytes(self.link.request.log[self.begun[0] :])
        self.reply = bytes(self.link.reply.log[self.begun[1] :])


@attr.define
class Victim:
    """The object that meets the fault.

    :ivar links: its initial connections, by role.
    """

    kind: str
    thing: Any
    links: dict[str, Link]


@attr.define
class Seen:
    """The observed outcome of a call."""

    result: Any
    error: Any
    state: Any
    events: Any
    passed: list[Passed]


class Call(Deferred[Any]):
    """A pending call; ``called`` is True if and only if it has ended.

    A verb's own Deferred may be called already, and wait for another Deferred in its chain.

    :ivar made: the Deferred that the verb returned.
    """

    def __init__(self, made: Deferred[Any]) -> None:
        super().__init__(lambda _: made.cancel())
        self.made = made
        made.addCallbacks(self.callback, self.errback)


class LaboratoryCase(RedisTestCase):
    """A test with a proxy, an undisturbed publisher and an observer."""

    #: Whether victims load their scripts.
    loading = False

    async def setUp(self) -> None:
        await super().setUp()
        self.proxy = Proxy(reactor, self.target.endpoint(reactor))
        await self.proxy.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.proxy.stop()))
        self.writer = await self.pub()
        self.ear = await self.spy()
        await self.check_loaded()
        # A call that waits again does so without back-off.
        self.patch(_patience, "back_off", lambda failures: 0.0)

    async def check_loaded(self) -> None:
        """Discard the results of earlier tests if the server has lost its scripts."""
        exist = await self.raw.send("SCRIPT", "EXISTS", *sorted(_loaded)) if _loaded else []
        if not all(exist):
            _loaded.clear()
            _references.clear()

    # -- the objects -------------------------------------------------------------------

    async def victim(self, kind: str) -> Victim:
        """Connect an object through the proxy."""
        if kind == "thoonk":
            return await self.thoonk()
        make = ThoonkPubFactory if kind == "pub" else ThoonkSubFactory
        factory = make(**self.arguments())
        factory.noisy = False
        thing = await self.proxy.endpoint.connect(factory)
        role = "publisher" if kind == "pub" else "subscriber"
        # Otherwise the data of one turn might arrive in several segments.
        thing.redis.transport.setTcpNoDelay(True)
        link = await self.proxy.link_of(thing.redis.transport)
        redis = thing.redis
        if greeting(redis.username, redis.password, redis.db):
            await thing.redis.send("PING")
        if not self.loading:
            thing.redis._loaded |= _loaded
        return Victim(kind, thing, {role: link})

    #: The options of services, including the reactor.
    options: dict[str, Any] = {"reactor": reactor, "health": 0, "reply_timeout": None}

    async def thoonk(self) -> Victim:
        """Connect a service that reconnects without delay."""
        url = f"tcp:host=127.0.0.1:port={self.proxy.port}"
        options = {"retry_policy": lambda _: 0.0, **self.target.credentials, **self.options}
        thoonk = Thoonk(url, **options)
        self.addCleanup(thoonk.close)
        await thoonk.connect()
        return Victim("thoonk", thoonk, await self.links_of(thoonk))

    async def links_of(self, thoonk: Any) -> dict[str, Link]:
        """Return the two connections of a service, once they are up."""
        await thoonk.whenConnected()
        publisher = await thoonk._connections.publisher.when_connected()
        subscriber = await thoonk._connections.subscriber.when_connected()
        publisher.transport.setTcpNoDelay(True)
        if not self.loading:
            publisher._loaded |= _loaded
        return {
            "publisher": await self.proxy.link_of(publisher.transport),
            "subscriber": await self.proxy.link_of(subscriber.transport),
        }

    async def recovered(self, victim: Victim) -> None:
        """Wait until a service is connected again and has no call under way."""
        while victim.kind == "thoonk":
            victim.links = await self.links_of(victim.thing)
            room = victim.thing.waiting_room
            try:
                await victim.thing.redis.send("PING")
                while room.outages.under_way:
                    await next(iter(room.outages.under_way))
                await victim.thing.redis.send("PING")
                return
            except ConnectionLost:
                continue  # the cut came only now

    async def end(self, victim: Victim) -> None:
        """Close a victim, and wait until the proxy has noticed."""
        ended = [link.ended for link in self.proxy.links]
        closing = victim.thing.close()
        await closing
        for one in ended:
            await one

    # -- a call ------------------------------------------------------------------------

    async def begin(self, verb: Verb) -> Any:
        """Create the state that a verb starts from, and return what the verb needs."""
        await self.raw.flushdb()
        known = await verb.prepare(self.writer)
        await self.ear.messages(own=True)
        return known

    async def call(self, verb: Verb, victim: Victim, known: Any, meet: Meet) -> Seen:
        """Make a call, let it end, and return its outcome."""
        passed: list[Passed] = []

        def met(role: str, link: Link) -> None:
            passed.append(Passed.begin(role, link))
            meet(role, link)

        others = iter(range(1, 1000))
        self.proxy.opened = lambda link: met(f"other {next(others)}", link)
        self.verb, self.triggered, self.rescued = verb, False, ""
        called = self.called = Call(verb.call(victim.thing, known))
        for role, link in victim.links.items():
            met(role, link)
        if verb.trigger is not None:
            await self.ready(called, victim)
            if not called.called:
                self.triggered = True
                await verb.trigger(self.writer, known)
            await self.settled(victim, called)
            if not called.called:
                self.rescued = await rescue(self, verb, victim, known)
        result, error = await outcome_of(called.addTimeout(PATIENCE, reactor))
        for one in passed:
            one.called()
        if verb.steps or verb.kind not in ("read", "write"):
            await self.quiet()
        self.proxy.opened = lambda link: None
        for one in passed:
            one.end()
        await self.recovered(victim)
        state, events = await self.state(), await self.ear.messages(own=True)
        return Seen(result, error, state, told(events), passed)

    async def ready(self, called: Any, victim: Victim) -> None:
        """Wait until a call can make no more progress by itself."""
        while not called.called and not self.is_idle():
            before = self.traffic()
            await self.quiet()
            if isinstance(called.made, Following):
                if called.made.begun:
                    return
            elif await self.somebody_waits() and self.traffic() == before:
                return
            if victim.kind != "thoonk" and not victim.thing.redis.usable:
                assert called.called, "its only connection is lost, and it waits still"

    def is_idle(self) -> bool:
        """Return whether a call that is not ready will never be."""
        return False

    async def settled(self, victim: Victim, called: Any) -> None:
        """Wait until a call has ended, or makes no more progress by itself."""
        for _ in range(ROUNDS):
            if called.called:
                return
            await self.recovered(victim)
            await self.ready(called, victim)
            await self.quiet()

    async def somebody_waits(self) -> bool:
        """Return whether a client is blocked, or listens for the end of a job."""
        info = await self.raw.send("INFO", "clients")
        listeners = await self.raw.send("PUBSUB", "NUMSUB", "feed.finishes:faults")
        return b"blocked_clients:0" not in info or bool(listeners[1])

    def traffic(self) -> list[int]:
        return [
            len(way.log) + way.passed
            for link in self.proxy.links
            for way in (link.request, link.reply)
        ]

    async def quiet(self) -> None:
        """Wait until the only traffic is the server's replies to this test."""
        rounds, last = 0, self.traffic()
        while rounds < ROUNDS:
            await self.raw.send("PING")
            traffic = self.traffic()
            rounds = rounds + 1 if traffic == last else 0
            last = traffic

    async def reference(
        self, verb: Verb, kind: str, loading: bool = False
    ) -> tuple[Reference, list[Passed]]:
        """Return the outcome and the traffic of an undisturbed call.

        :param loading: whether the scripts are loaded first, in this and in later calls.
        """
        self.loading = loading
        known = _references.get((verb.name, kind, loading))
        if known is None:
            if not loading:
                await self.load(verb, kind)
            known = await self._observe(verb, kind)
            _references[verb.name, kind, loading] = known
        return known

    async def _observe(self, verb: Verb, kind: str) -> tuple[Reference, list[Passed]]:
        victim = await self.victim(kind)
        known = await self.begin(verb)
        before = plain(await self.state())
        seen = await self.call(verb, victim, known, lambda role, link: None)
        if seen.error is not None:
            raise seen.error
        await self.end(victim)
        after, events = plain(seen.state), plain(seen.events)
        return Reference(verb, before, after, events, plain(seen.result)), seen.passed

    async def load(self, verb: Verb, kind: str) -> None:
        """Make the server load the scripts of a verb, because they are long."""
        victim = await self.victim(kind)
        known = await self.begin(verb)
        await self.call(verb, victim, known, lambda role, link: None)
        publisher = victim.thing.redis
        if kind == "thoonk":
            publisher = await victim.thing._connections.publisher.when_connected()
        _loaded.update(publisher._loaded)
        await self.end(victim)

    # -- the state ---------------------------------------------------------------------

    async def state(self, own: bool = True) -> dict[bytes, Any]:
        """Read the whole database, in three rounds of requests."""
        keys = await self.raw.send("KEYS", "*")
        types = [self.raw.send("TYPE", key) for key in keys]
        readers = [READERS[await one] for one in types]
        reading = [
            self.raw.send(command, key, *rest)
            for key, (command, rest, _) in zip(keys, readers, strict=True)
        ]
        return {
            key: convert(await reply)
            for key, (_, _, convert), reply in zip(keys, readers, reading, strict=True)
        }


async def rescue(lab: LaboratoryCase, verb: Verb, victim: Victim, known: Any) -> str:
    """Rescue a call that does not end by itself, and return the word for that.

    The rescue is what the documentation prescribes, and nothing else.
    """
    if victim.kind == "sub" and not victim.thing.redis.usable:
        lab.called.cancel()  # the connection is gone, so no event can arrive
        return "ended, ConnectionLost"
    if verb.name == "Thoonk.register_handler":
        assert verb.trigger is not None
        await verb.trigger(lab.writer, known)
        return "missed"
    if ".get (" in verb.name:
        line: Any = {"Queue": Queue, "PythonQueue": PythonQueue, "Job": Job}[
            verb.name.partition(".")[0]
        ](lab.writer, FEED)
        await line.maintenance()
        await age(lab.raw, "delivering")
        await line.maintenance()
        return "waits for maintenance, then done"
    raise AssertionError("it waits for what does not come")


async def age(raw: Any, part: str) -> None:
    """Make every entry old in a sorted set of times."""
    for member in await raw.send("ZRANGE", f"feed.{part}:{FEED}", 0, -1):
        await raw.send("ZADD", f"feed.{part}:{FEED}", 1_000_000_000_000, member)


async def outcome_of(called: Deferred[Any]) -> tuple[Any, Any]:
    """Wait for the end of a call; return its result and its error."""
    found: tuple[Any, Any] = await called.addCallbacks(
        lambda result: (result, None), lambda reason: (None, reason.value)
    )
    return found


def told(events: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Leave out the marks that a subscriber publishes to itself."""
    return [one for one in events if not one[0].startswith(b"feed.mark:")]
