"""Every verb while the server refuses: it has no memory, no disk, or is a replica."""

from __future__ import annotations

from tests.faults.each import each_verb
from tests.faults.outcomes import record
from tests.faults.server_cells import CellTestCase
from tests.faults.verbs import Verb


async def oom(case: CellTestCase, verb: Verb) -> None:
    """Nothing can be added to a full memory; what is there can be read, taken and ended."""
    word = await case.observe(verb, case.faulty.full_memory, says=("OOM", "EXECABORT"))
    record(verb.name, "oom", word)


async def readonly(case: CellTestCase, verb: Verb) -> None:
    """A replica changes nothing and tells nobody; it can be read, and changed as a master."""
    word = await case.observe(verb, case.faulty.replica, says=("READONLY", "EXECABORT"))
    record(verb.name, "readonly", word)


async def disk(case: CellTestCase, verb: Verb) -> None:
    """What cannot be written to the disk is refused; when there is room all works again."""
    word = await case.observe(verb, case.faulty.full_disk, says=("MISCONF", "EXECABORT"))
    record(verb.name, "disk", word)


@each_verb(oom=oom, readonly=readonly, disk=disk)
class RefusalTests(CellTestCase):
    """What a verb does is known, and nothing is half done."""
