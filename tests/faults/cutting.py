"""Cuts: one call for each byte after which its connection is cut."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import attr
from twisted.internet.defer import Deferred, gatherResults

from tests.faults.guarantees import guarantee_of
from tests.faults.laboratory import (
    PATIENCE,
    LaboratoryCase,
    Passed,
    Seen,
    Victim,
    outcome_of,
    reactor,
)
from tests.faults.outcomes import Reference, plain, together
from tests.faults.resp import commands, reply_places, request_places
from tests.faults.verbs import Verb
from tests.support import TIMEOUT
from tests.support.proxy import TURNS, Link
from txthoonk import ConnectionLost

__all__ = ["EVERY", "Cut", "CuttingCase"]

#: Whether to cut after every byte, which takes minutes.
EVERY = bool(os.environ.get("TXTHOONK_FAULTS_EVERY_BYTE"))
BATCH = 50  # connections that are cut at once


class Place(NamedTuple):
    """A connection, and one of its directions."""

    role: str
    request: bool


@attr.define
class Cut:
    """Cuts the first connection of a role after *count* bytes of a call.

    :ivar ended: whether the call had ended at the cut; None: there was no cut.
    """

    lab: LaboratoryCase
    role: str
    request: bool
    count: int
    link: Link | None = None
    ended: bool | None = None

    def __call__(self, role: str, link: Link) -> None:
        if role == self.role and self.link is None:
            self.link = link
            link.on_cut = self._cut
            if self.request:
                link.request.cut_after(self.count)
            else:  # requests that were sent together with the one in question must still pass
                link.reply.cut_after(self.count, TURNS)

    def _cut(self) -> None:
        self.ended = bool(self.lab.called.called)

    @property
    def matters(self) -> bool:
        """Whether the call waits on this connection, which does not merely listen."""
        return not self.role.startswith("other") or self.lab.verb.kind == "wait"

    def end(self) -> None:
        """Release a connection that was not cut."""
        if self.link is not None and self.ended is None:
            self.link.request.release()
            self.link.reply.release()

    def __str__(self) -> str:
        return (
            f"{self.role} cut after {self.count} bytes of {'request' if self.request else 'reply'}"
        )


class CuttingCase(LaboratoryCase):
    """Calls whose connections are cut, byte by byte."""

    timeout = 3600 if EVERY else TIMEOUT

    async def sweep(
        self, verb: Verb, kind: str, request: bool, most: int, loading: bool = False
    ) -> str:
        """Cut at all places of a verb's requests or replies; return the words for the outcomes.

        :param most: see :func:`tests.faults.resp.request_places`.
        :param loading: see :meth:`reference`.
        """
        reference, passed = await self.reference(verb, kind, loading)
        if verb.steps or verb.kind == "listen":
            most = 1  # per request, because there are many
        self.whole = {one.role: len(commands(one.request)) for one in passed}
        words: set[str] = set()
        for one in passed:
            if request:
                places = request_places(one.request, EVERY, most)
            else:
                places = reply_places(one.request, one.reply, EVERY, most)
            if verb.kind == "listen":  # after the call, the only traffic ends the subscription
                places = [at for at in places if at < one.needed[0 if request else 1]]
            if request and _is_simple(verb, passed):
                words.add(await self.cut_requests(reference, kind, most))
            else:
                # Others may still use what the call leaves after its end.
                again = kind == "thoonk" and not any(p.role.startswith("other") for p in passed)
                words |= await self.cut_one_by_one(
                    reference, kind, again, Place(one.role, request), places
                )
        return together(words)

    async def cut_one_by_one(
        self, reference: Reference, kind: str, again: bool, place: Place, counts: list[int]
    ) -> set[str]:
        """Make a call for each count of bytes.

        :param again: whether to use the same object again.
        """
        words = set()
        victim: Victim | None = None
        for count in counts:
            victim = victim or await self.victim(kind)
            words.add(await self.cut(reference, victim, Cut(self, *place, count)))
            if not again:
                await self.end(victim)
                victim = None
        if victim is not None:
            await self.end(victim)
        return words

    async def cut(self, reference: Reference, victim: Victim, cut: Cut) -> str:
        """Make one call; return the word for its outcome, or "" if nothing was cut."""
        known = await self.begin(reference.verb)
        try:
            calling = Deferred.fromCoroutine(self.call(reference.verb, victim, known, cut))
            seen: Seen = await calling.addTimeout(PATIENCE, reactor)
            cut.end()
            if cut.ended is None:
                return ""
            return await self.named(reference, victim.kind, seen, cut)
        except Exception as error:
            raise AssertionError(
                f"{reference.verb.name}, {victim.kind}, {cut}: {error}"
            ) from error

    async def named(self, reference: Reference, kind: str, seen: Seen, cut: Cut) -> str:
        """Check the guarantees, and name the outcome."""
        if self.rescued == "ended, ConnectionLost":
            reference.check_after(seen.state, seen.events)
            return self.rescued
        if self.rescued == "missed":
            if seen.error is not None or plain(seen.result) != reference.result:
                raise AssertionError(f"the next one is missed, too: {seen.error!r}, {seen.result}")
            reference.check_after(seen.state, seen.events[: len(seen.events) // 2])
            return self.rescued
        guarantee, events = guarantee_of(reference), None
        if guarantee is not None:
            events = await guarantee(self, reference, seen, kind)
        between = guarantee is not None
        events = seen.events if events is None else events
        word = reference.name(seen.result, seen.error, seen.state, events, between)
        if guarantee is None and cut.ended:
            return ""  # timestamps vary in length, so the whole reply had arrived
        if guarantee is None and reference.verb.kind == "write":
            self.check_place(word, seen, cut)
        if word in ("done", "answered") and kind == "thoonk" and not cut.ended and cut.matters:
            return self.rescued or "waits, then done"
        return word

    def check_place(self, word: str, seen: Seen, cut: Cut) -> None:
        """Check that the call was executed if and only if all its requests passed whole."""
        one = next(one for one in seen.passed if one.link is cut.link)
        sent = one.request[: one.link.request.passed - one.begun[0]]
        whole = len(commands(sent)) >= self.whole[one.role]
        if word.startswith("done") is not whole:
            raise AssertionError(f"{word}, with {len(commands(sent))} requests of it sent")

    async def cut_requests(self, reference: Reference, kind: str, most: int) -> str:
        """Make calls of one request each and cut them; none of them may be executed."""
        verb = reference.verb
        known = await self.begin(verb)
        some = self._cut_some_of(verb, known) if kind == "thoonk" else self._cut_some(verb, known)
        self.request = b""
        await some([0])  # shows the length of the request, because claims vary in length
        places = request_places(self.request, EVERY, most)
        for first in range(0, len(places), BATCH):
            counts = places[first : first + BATCH]
            for count, error in zip(counts, await some(counts), strict=True):
                if type(error) is not ConnectionLost:
                    raise AssertionError(f"{verb.name}, cut after {count} bytes: {error!r}")
        state, events = await self.state(), await self.ear.messages(own=True)
        word = reference.name(None, ConnectionLost(), state, events)
        if word.startswith("done"):
            raise AssertionError(f"{verb.name}: done by a request that was cut")
        # Everything that the call needs still exists: the next caller succeeds.
        result = await verb.call(self.writer, known)
        state, events = await self.state(), await self.ear.messages(own=True)
        reference.name(result, None, state, events)
        return word

    async def _cut_off(self, victim: Victim, verb: Verb, known: Any, count: int) -> Any:
        request = victim.links["publisher"].request
        before = len(request.log)
        called = verb.call(victim.thing, known)
        request.cut_after(count)
        _, error = await outcome_of(called.addTimeout(PATIENCE, reactor))
        self.request = bytes(request.log[before:])
        return error

    def _cut_some(self, verb: Verb, known: Any) -> Callable[[list[int]], Deferred[list[Any]]]:
        """Return a function that cuts bare publishers, many at once."""

        async def cut(count: int) -> Any:
            victim = await self.victim("pub")
            error = await self._cut_off(victim, verb, known, count)
            await victim.thing.close()
            return error

        return lambda counts: gatherResults([Deferred.fromCoroutine(cut(one)) for one in counts])

    def _cut_some_of(self, verb: Verb, known: Any) -> Callable[[list[int]], Deferred[list[Any]]]:
        """Return a function that cuts a service's publisher connection repeatedly."""

        async def cut(counts: list[int]) -> list[Any]:
            victim = await self.victim("thoonk")
            errors = []
            for count in counts:
                errors.append(await self._cut_off(victim, verb, known, count))
                victim.links = await self.links_of(victim.thing)
            await self.end(victim)
            return errors

        return lambda counts: Deferred.fromCoroutine(cut(counts))


def _is_simple(verb: Verb, passed: list[Passed]) -> bool:
    """Return whether a verb makes one request, on the object's own connection."""
    passed = [one for one in passed if one.request]
    if [one.role for one in passed] != ["publisher"] or verb.steps or verb.trigger is not None:
        return False
    names = [command.name for command in commands(passed[0].request)]
    return names == names[:1]
