"""Each verb on connections whose requests and replies are late, or come in pieces."""

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
    """Name the outcome of a verb on slow connections, which must be the undisturbed one."""

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
    """Requests and replies may be split at any byte."""
    slow = _some if "several calls" in verb.name else _one_by_one
    record(verb.name, "bytes", await observe(case, verb, slow))


async def in_halves(case: LaboratoryCase, verb: Verb) -> None:
    """Requests and replies may arrive in halves."""
    record(verb.name, "halves", await observe(case, verb, Direction.halve))


async def late(case: LaboratoryCase, verb: Verb) -> None:
    """Requests and replies may be late, as long as no timeout expires."""
    hours = Hours(reactor)
    case.addCleanup(hours.stop)
    case.proxy.clock = hours.clock
    hours.start(1)
    record(verb.name, "delay", await observe(case, verb, lambda way: way.delay(3)))


@each_verb(bytes=byte_by_byte, halves=in_halves, delay=late)
class PaceTests(LaboratoryCase):
    """A slow connection changes no outcome."""
