"""Every verb while the server refuses it: its memory or disk is full, or it is a replica."""

from __future__ import annotations

from tests.faults.each import each_verb
from tests.faults.outcomes import record
from tests.faults.server_cells import CellTestCase
from tests.faults.verbs import Verb


async def oom(case: CellTestCase, verb: Verb) -> None:
    """With full memory nothing can be added; stored data can be read, taken and finished."""
    word = await case.observe(verb, case.faulty.full_memory, says=("OOM", "EXECABORT"))
    record(verb.name, "oom", word)


async def readonly(case: CellTestCase, verb: Verb) -> None:
    """A replica changes and publishes nothing; it can be read, and changed once it is a master."""
    word = await case.observe(verb, case.faulty.replica, says=("READONLY", "EXECABORT"))
    record(verb.name, "readonly", word)


async def disk(case: CellTestCase, verb: Verb) -> None:
    """With a full disk all writes are refused; once there is room, everything works again."""
    word = await case.observe(verb, case.faulty.full_disk, says=("MISCONF", "EXECABORT"))
    record(verb.name, "disk", word)


@each_verb(oom=oom, readonly=readonly, disk=disk)
class RefusalTests(CellTestCase):
    """Each verb does what the table says, and nothing is half done."""
