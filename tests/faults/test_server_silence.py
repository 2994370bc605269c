"""Every verb while the server does not reply: it loads its data, pauses, or is stopped."""

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

PAUSE = 40  # milliseconds; doubled if the pause was over before the call was sent
LONG = 60_000
SILENCE = 60.0  # seconds; longer than a reply_timeout of 30
PACE = 60  # commands between two sleeps of a loading server; fewer make the loading slower


# -- loading -----------------------------------------------------------------------------

loader = FaultyServer()


async def loading(case: LoadingTests, verb: Verb) -> None:
    """A call while the server loads its data waits, or fails and is not executed."""
    word = await case.observe_loading(verb)
    if word in ("done", "answered", "waits, then done"):
        # PUBLISH needs no data. For other calls it depends on timing whether the last attempt gets
        # its reply before the test notices the end of the loading.
        word = "done" if verb.name == "publish_channel" else "waits, then done"
    record(verb.name, "loading", word)


@each_verb(loading=loading)
class LoadingTests(CellTestCase):
    """A connected client learns that the server loads: a replica that receives a new copy."""

    faulty = loader

    async def setUp(self) -> None:
        if self.faulty.server is None:
            await self.faulty.start()
            await self.faulty.fill()
            await self.faulty.leave()
        await super().setUp()

    async def observe_loading(self, verb: Verb) -> str:
        """Return the word for a verb that is called while the server loads its data.

        On a busy machine the loading may be over before the call is sent. The test then repeats it
        with a slower load.
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
    """A call during a pause is executed once, after the pause."""
    milliseconds, case.in_time = PAUSE, False
    while not case.in_time:
        fault = partial(case.faulty.paused, milliseconds, "ALL")
        word = await case.observe(verb, fault, first=case.ask, then=case.not_answered)
        milliseconds *= 2
    record(verb.name, "pause", word)


async def pause_of_writers(case: CellTestCase, verb: Verb) -> None:
    """While writes are paused, calls without a script get replies; the others wait for the end."""
    word = await case.observe(verb, partial(case.faulty.paused, LONG, "WRITE"))
    case.assertIn(word, (*DONE, "waits, then done"))
    if verb.kind == "write":
        case.assertEqual(word, "waits, then done")


@each_verb(all=pause, write=pause_of_writers)
class PauseTests(CellTestCase):
    """``CLIENT PAUSE`` delays calls, and has no other effect."""

    def ask(self, run: Run) -> None:
        self.answer = self.raw.send("PING")

    async def not_answered(self, run: Run) -> None:
        """Record whether the pause still holds; on a busy machine it may be over."""
        await turns()
        self.in_time = not self.answer.called


# -- SIGSTOP -----------------------------------------------------------------------------


@asynccontextmanager
async def stopped(case: StopTests) -> AsyncIterator[None]:
    """Stop the server's process."""
    case.faulty.freeze()
    try:
        yield
    finally:
        case.faulty.thaw()
    if case.dropped is not None:
        # The server has read everything from that connection, in several reads if it is much.
        await case.faulty.gone(case.dropped)


async def stop_shortly(case: StopTests, verb: Verb) -> None:
    """Within its ``reply_timeout`` a call waits; it runs once when the server continues."""
    word = await case.observe(verb, partial(stopped, case), then=turns)
    case.assertIn(word, ("waits, then done", "goes on"))


async def stop(case: StopTests, verb: Verb) -> None:
    """After its ``reply_timeout`` a call fails, executed or not; waits and subscriptions go on."""
    word = await case.observe(verb, partial(stopped, case), then=case.be_silent)
    record(verb.name, "stop", word)


@each_verb(shortly=stop_shortly, long=stop)
class StopTests(CellTestCase):
    """The server's process is stopped (SIGSTOP), and continues (SIGCONT)."""

    halfway = True
    dropped: int | None = None

    async def connect_thing(self, on: str) -> Any:
        thing = await super().connect_thing(on)
        self.number = None if on == "sub" else await thing.redis.send("CLIENT", "ID")
        return thing

    async def be_silent(self, run: Run) -> None:
        """Let the ``reply_timeout`` pass."""
        await turns()
        await self.pass_time(SILENCE)
        self.dropped = self.number
