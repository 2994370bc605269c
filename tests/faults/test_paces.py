"""Each verb, with what it sends and what it is answered late, or in pieces."""

from __future__ import annotations

from collections.abc import Callable

from tests.faults.each import each_verb
from tests.faults.hours import Hours
from tests.faults.laboratory import LaboratoryCase, reactor
from tests.faults.outcomes import record, together
from tests.faults.verbs import Verb
from tests.support.proxy import Direction, Link

Slow = Callable[[Direction], None]


async def observe(case: LaboratoryCase, verb: Verb, slow: Slow) -> str:
    """Name what a verb does on connections that are slow in some way: what it does else."""

    def meet(role: str, link: Link) -> None:
        slow(link.request)
        slow(link.reply)

    words = []
    for kind in verb.on:
        reference, _ = await case.reference(verb, kind)
        victim = await case.victim(kind)
        known = await case.begin(verb)
        seen = await case.call(verb, victim, known, meet)
        words.append(reference.name(seen.result, seen.error, seen.state, seen.events))
        await case.end(victim)
    return together(words)


def _one_by_one(way: Direction) -> None:
    way.split(1)


def _some(way: Direction) -> None:
    way.split(1000)


async def byte_by_byte(case: LaboratoryCase, verb: Verb) -> None:
    """It does not matter where what passes is divided."""
    slow = _some if "several calls" in verb.name else _one_by_one
    record(verb.name, "bytes", await observe(case, verb, slow))


async def in_halves(case: LaboratoryCase, verb: Verb) -> None:
    """It does not matter whether a request or a reply comes at once."""
    record(verb.name, "halves", await observe(case, verb, Direction.halve))


async def late(case: LaboratoryCase, verb: Verb) -> None:
    """It does not matter how long it takes, as long as no time is up."""
    hours = Hours(reactor)
    case.addCleanup(hours.stop)
    case.proxy.clock = hours.clock
    hours.start(1)
    record(verb.name, "delay", await observe(case, verb, lambda way: way.delay(3)))


@each_verb(bytes=byte_by_byte, halves=in_halves, delay=late)
class PaceTests(LaboratoryCase):
    """A connection that is only slow changes nothing."""
