"""Each verb of a Thoonk without a connection, and with a connection that went silent."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.faults.cutting import Cut, CuttingCase
from tests.faults.each import each_verb
from tests.faults.hours import Hours
from tests.faults.laboratory import PATIENCE, Call, Passed, Seen, Victim, outcome_of, reactor, told
from tests.faults.outcomes import record, together
from tests.faults.resp import commands, replies
from tests.faults.verbs import Verb
from tests.support.proxy import Link
from tests.support.waiting import until

WAIT = 20  # seconds that calls wait for a connection
STEP = 5  # seconds


MOST = 200  # seconds after which a silent connection must be dropped


class Stall(Cut):
    """Stalls the first connection of a role after some bytes, and lets time pass."""

    lab: AbsenceCase

    def __call__(self, role: str, link: Link) -> None:
        if role == self.role and self.link is None:
            self.link = link
            way = link.request if self.request else link.reply
            way.stall_after(self.count).addCallback(self._stalled)

    def _stalled(self, _: object) -> None:
        self._cut()
        self.lab.waiting = Deferred.fromCoroutine(self._wait())
        self.lab.waiting.addErrback(self._failed)

    async def _wait(self) -> None:
        assert self.link is not None
        # Timestamps vary in length, so the call may have had all the bytes that it needs.
        await self.lab.quiet()
        self._cut()
        for _ in range(0, MOST, STEP):
            if self.link.ended.called or self.lab.over:
                return
            if self.role.startswith("other") and self.lab.called.called:
                return  # no call uses this connection any more
            await self.lab.pass_time(STEP)
        # A call that listens for results reads them again and again, and so misses none.
        self.lab.idle = self.role.startswith("other")
        if not self.lab.idle:
            raise AssertionError(f"not given up after {MOST} seconds")

    def _failed(self, reason: Any) -> None:
        if not self.lab.called.called:
            self.lab.called.errback(reason)


class AbsenceCase(CuttingCase):
    """A case with a service whose clock the test controls."""

    async def setUp(self) -> None:
        await super().setUp()
        self.hours = Hours(reactor)
        self.hours.start()
        self.retry = 1.0  # seconds
        self.waiting: Deferred[None] | None = None
        self.over = self.idle = False
        self.addCleanup(self.hours.stop)
        self.options = {
            "reactor": self.hours,
            "wait": WAIT,
            "health": 25,
            "reply_timeout": 30,
            "retry_policy": lambda _: self.retry,
        }

    def is_idle(self) -> bool:
        """Return whether so much time has passed that the call will not end."""
        return self.idle

    async def settled(self, victim: Victim, called: Any) -> None:
        """Wait until a silent connection has been dropped, and for what follows."""
        await self.quiet()
        if self.waiting is not None:
            await self.waiting
        if self.idle:
            await self.pass_time(WAIT)
        await super().settled(victim, called)

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and let everything that becomes due happen."""
        for _ in range(0, int(seconds), STEP):
            self.hours.clock.advance(STEP)
            await self.quiet()

    async def away(self, verb: Verb, seconds: float) -> str:
        """Call while there is no connection, and allow one after *seconds*."""
        reference, _ = await self.reference(verb, "thoonk")
        victim = await self.victim("thoonk")
        known = await self.begin(verb)
        self.proxy.refusing = True
        for link in list(self.proxy.links):
            link.abort()
        await until(lambda: not any(victim.thing._connections.up.values()))
        called = self.called = Call(verb.call(victim.thing, known))
        self.verb, self.triggered, self.rescued = verb, False, ""
        await self.pass_time(seconds)
        early = called.called
        self.proxy.refusing = False
        await self.pass_time(STEP)
        if verb.trigger is not None and not called.called:
            await self.ready(called, victim)
            await verb.trigger(self.writer, known)
        result, error = await outcome_of(called.addTimeout(PATIENCE, reactor))
        await self.quiet()
        await self.recovered(victim)
        state, events = await self.state(), told(await self.ear.messages(own=True))
        await self.end(victim)
        word = reference.name(result, error, state, events)
        return "waits, then done" if word in ("done", "answered") and not early else word

    async def held_up(self, verb: Verb, request: bool) -> str:
        """Stall half of each request or reply that the call needs."""
        self.retry = 0.0
        reference, passed = await self.reference(verb, "thoonk")
        words = []
        for one in passed:
            for count in halves(one, request):
                if one.role.startswith("other") and count >= one.needed[0 if request else 1]:
                    continue  # no call uses this connection any more
                words.append(await self._held_up(reference, one.role, request, count))
        return together(words)

    async def _held_up(self, reference: Any, role: str, request: bool, count: int) -> str:
        victim = await self.victim("thoonk")
        known = await self.begin(reference.verb)
        self.over, self.idle, self.waiting = False, False, None
        stall = Stall(self, role, request, count)
        calling = Deferred.fromCoroutine(self.call(reference.verb, victim, known, stall))
        try:
            seen: Seen = await calling.addTimeout(PATIENCE, reactor)
        except Exception as error:
            about = f"{reference.verb.name}, {stall}: {error!r}"
            raise AssertionError(about) from error
        finally:
            self.over = True
            stall.end()
        word = ""
        if stall.ended is not None:
            self.whole = {}
            word = await self.named(reference, "thoonk", seen, stall)
        await self.end(victim)
        return word

    def check_place(self, word: str, seen: Seen, cut: Cut) -> None:
        """Accept every word; the column decides which are allowed."""


def halves(one: Passed, request: bool) -> list[int]:
    """Return the middle of each request or reply, except those that load scripts."""
    names = [command.name for command in commands(one.request)]
    if request:
        return [(start + end) // 2 for _, start, end in commands(one.request)]
    ends = replies(one.reply)
    if len(ends) != len(names):  # SUBSCRIBE has many replies, and messages come between
        return [one.needed[1] // 2] if one.needed[1] else []
    return [(start + end) // 2 for start, end in zip([0, *ends], ends, strict=False)]


async def column(case: AbsenceCase, verb: Verb, key: str, observing: Any) -> None:
    """Record a cell of a column that only a Thoonk can fill."""
    if "thoonk" not in verb.on:
        record(verb.name, key, "not there")
    else:
        record(verb.name, key, await observing())


async def away(case: AbsenceCase, verb: Verb) -> None:
    """A call without a connection waits, or fails with an error that says it was not sent."""
    await column(case, verb, "away", lambda: case.away(verb, 2 * WAIT))


async def back(case: AbsenceCase, verb: Verb) -> None:
    """A call that waits for a connection is made once, on the next connection."""
    await column(case, verb, "back", lambda: case.away(verb, WAIT / 2))


async def request_held_up(case: AbsenceCase, verb: Verb) -> None:
    """A call whose request does not get through is not executed, and its Deferred ends."""
    await column(case, verb, "stall/request", lambda: case.held_up(verb, True))


async def reply_held_up(case: AbsenceCase, verb: Verb) -> None:
    """A call whose reply does not arrive leaves no Deferred pending."""
    await column(case, verb, "stall/reply", lambda: case.held_up(verb, False))


@each_verb(away=away, back=back, request_held_up=request_held_up, reply_held_up=reply_held_up)
class AbsenceTests(AbsenceCase):
    """A call with no connection, or with a silent one, ends in time."""
