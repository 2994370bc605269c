"""Every verb is refused and does nothing in a thread other than the reactor's."""

from __future__ import annotations

from typing import Any

from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from tests.faults.laboratory import LaboratoryCase
from tests.faults.row import Verb
from tests.faults.verbs import VERBS
from txthoonk.errors import WrongThread


def called(verb: Verb, thing: Any, known: Any) -> Any:
    """Call a verb; return the error that it raised, or failed with at once."""
    try:
        made = verb.call(thing, known)
    except WrongThread as error:
        return error
    result: list[Any] = []
    made.addBoth(result.append)
    if result and isinstance(result[0], Failure):
        return result[0].value
    return result


class WrongThreadTests(LaboratoryCase):
    async def test_every_verb(self) -> None:
        """A call in another thread sends and changes nothing; the next call gets its reply."""
        for kind in ("pub", "sub", "thoonk"):
            victim = await self.victim(kind)
            for verb in VERBS:
                if kind not in verb.on:
                    continue
                known = await self.begin(verb)
                state, sent = await self.state(), self.traffic()
                error = await deferToThread(called, verb, victim.thing, known)
                self.assertIsInstance(error, WrongThread, f"{kind}: {verb.name}")
                self.assertEqual(self.traffic(), sent, verb.name)
                self.assertEqual(await self.state(), state, verb.name)
            self.assertEqual(await victim.thing.redis.send("PING"), "PONG")
            await self.end(victim)
