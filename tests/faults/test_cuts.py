"""Each verb with its connection cut after each byte of its requests and of its replies.

CI cuts after some bytes of each, including all ends of requests and replies; ``make faults`` cuts
after every byte.
"""

from __future__ import annotations

from tests.faults.cutting import CuttingCase
from tests.faults.each import each_verb
from tests.faults.outcomes import record
from tests.faults.verbs import Verb

#: Verbs that are also tried on connections that have not loaded their scripts.
LOADING = ("Feed.publish (a new item)", "Queue.get (waits)", "Job.finish")


async def sweeps(case: CuttingCase, verb: Verb, which: str, most: int) -> None:
    """Cut the connections of both kinds of objects."""
    for column, kinds in (("bare", ("pub", "sub")), ("thoonk", ("thoonk",))):
        kind = next((kind for kind in kinds if kind in verb.on), None)
        if kind is None:
            record(verb.name, f"{which}/{column}", "not there")
            continue
        for loading in {False, verb.name in LOADING}:
            word = await case.sweep(verb, kind, which == "request", most, loading)
            record(verb.name, f"{which}/{column}", word)


async def in_requests(case: CuttingCase, verb: Verb) -> None:
    """A request that is cut is not executed, and the Deferred fails."""
    await sweeps(case, verb, "request", 4)


async def in_replies(case: CuttingCase, verb: Verb) -> None:
    """A request whose reply is cut is executed, and the Deferred does not hang."""
    await sweeps(case, verb, "reply", 1)


@each_verb(request=in_requests, reply=in_replies)
class CutTests(CuttingCase):
    """The documented guarantees hold wherever a connection is cut."""
