"""Every verb while the server does not answer: it loads its data, pauses, or stands still."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from tests.faults.each import each_verb
from tests.faults.outcomes import record
from tests.faults.server_cells import DONE, CellTestCase, Run
from tests.faults.server_faults import FaultyServer
from tests.faults.verbs import Verb
from tests.support.server import turns

PAUSE = 40  # milliseconds, or more if that was over before all was said
LONG = 60_000
SILENCE = 60.0  # seconds, which is longer than the 30 of a reply_timeout
PACE = 60  # commands from one sleep of a server that loads to the next; fewer take it longer


# -- loading -----------------------------------------------------------------------------

loader = FaultyServer()


async def loading(case: LoadingTests, verb: Verb) -> None:
    """What is called while the server loads fails and is not done, or waits."""
    word = await case.observe_loading(verb)
    if word in ("done", "answered", "waits, then done"):
        # PUBLISH needs no data. For others it is a matter of luck whether the last attempt
        # is answered before the end of the loading is told.
        word = "done" if verb.name == "publish_channel" else "waits, then done"
    record(verb.name, "loading", word)


@each_verb(loading=loading)
class LoadingTests(CellTestCase):
    """Whoever is connected is told that the server loads: a replica that gets a new copy."""

    faulty = loader

    async def setUp(self) -> None:
        if self.faulty.server is None:
            await self.faulty.start()
            await self.faulty.fill()
            await self.faulty.leave()
        await super().setUp()

    async def observe_loading(self, verb: Verb) -> str:
        """Give the word for what a verb does that is called while the server loads.

        On a busy machine the loading may be over before the call comes: then it is tried again,
        and loads longer.
        """
        pace, self.in_time = PACE, False
        while not self.in_time:
            fault = partial(self.faulty.loading, pace)
            says = ("LOADING", "EXECABORT")
            word = await self.observe(verb, fault, says=says, then=self.call_was_sent)
            pace = max(1, pace // 2)
        return word

    async def call_was_sent(self, run: Run) -> None:
        await turns()
        self.in_time = await self.faulty.is_loading()


# -- pauses ------------------------------------------------------------------------------


async def pause(case: PauseTests, verb: Verb) -> None:
    """What is called in a pause is done behind it, once."""
    milliseconds, case.in_time = PAUSE, False
    while not case.in_time:
        fault = partial(case.faulty.paused, milliseconds, "ALL")
        word = await case.observe(verb, fault, first=case.ask, then=case.not_answered)
        milliseconds *= 2
    record(verb.name, "pause", word)


async def pause_of_writers(case: CellTestCase, verb: Verb) -> None:
    """While writing is paused what needs no script is answered, and the rest behind it."""
    word = await case.observe(verb, partial(case.faulty.paused, LONG, "WRITE"))
    case.assertIn(word, (*DONE, "waits, then done"))
    if verb.kind == "write":
        case.assertEqual(word, "waits, then done")


@each_verb(all=pause, write=pause_of_writers)
class PauseTests(CellTestCase):
    """``CLIENT PAUSE`` costs time, and nothing else."""

    def ask(self, run: Run) -> None:
        self.answer = self.raw.send("PING")

    async def not_answered(self, run: Run) -> None:
        """See that the pause is not over, as it may be on a busy machine."""
        await turns()
        self.in_time = not self.answer.called


# -- SIGSTOP -----------------------------------------------------------------------------


@asynccontextmanager
async def stopped(case: StopTests) -> AsyncIterator[None]:
    """Let the server stand still."""
    case.faulty.freeze()
    try:
        yield
    finally:
        case.faulty.thaw()
    if case.dropped is not None:
        # The server has read all that came on that connection: in pieces, if it is much.
        await case.faulty.gone(case.dropped)


async def stop_shortly(case: StopTests, verb: Verb) -> None:
    """Within its time for an answer a call waits, and is done once when the server goes on."""
    word = await case.observe(verb, partial(stopped, case), then=turns)
    case.assertIn(word, ("waits, then done", "goes on"))


async def stop(case: StopTests, verb: Verb) -> None:
    """After that it fails, and has been done or not; what waits, and who listens, goes on."""
    word = await case.observe(verb, partial(stopped, case), then=case.be_silent)
    record(verb.name, "stop", word)


@each_verb(shortly=stop_shortly, long=stop)
class StopTests(CellTestCase):
    """The server's process is stopped (SIGSTOP), and goes on (SIGCONT)."""

    halfway = True
    dropped: int | None = None

    async def connect_thing(self, on: str) -> Any:
        thing = await super().connect_thing(on)
        self.number = None if on == "sub" else await thing.redis.send("CLIENT", "ID")
        return thing

    async def be_silent(self, run: Run) -> None:
        """Let the time pass in which an answer must come."""
        await turns()
        await self.pass_time(SILENCE)
        self.dropped = self.number
