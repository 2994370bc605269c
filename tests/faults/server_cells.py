"""How a verb behaves under a fault of the server: seed, call, heal, and compare everything.

Every cell of the matrix works in the same way. The verb is called while the server is at fault, on
an object that is connected (unless the fault is about connecting). Then the server is healed, and
a waiting call gets what it waits for. The reply, the whole state and all events are compared with
those of an undisturbed run. If nothing was done, the same call on the same object must now do it
all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel

from tests.faults.guarantees import guarantee_of
from tests.faults.laboratory import Seen, age, told
from tests.faults.outcomes import Reference, plain
from tests.faults.server_case import ServerFaultTestCase
from tests.faults.verbs import Verb
from tests.support.logs import observe_log
from tests.support.waiting import until, until_answer
from txthoonk.consumers.gets import _patience
from txthoonk.errors import ResponseError, ThoonkError
from txthoonk.types import PythonQueue

__all__ = ["DONE", "SERVICES", "CellTestCase", "Run", "Step", "healthy"]

ROUNDS = 40  # replies of the server after which a call can make no more progress
DONE = ("done", "answered", "goes on")
UNDONE = ("not done", "no answer", "ended")
SERVICES = ("Worker", "Maintenance")

#: These fields of a feed's history depend on the server and on the time.
_EPOCHS = (b"\0epoch", b"\0eras", b"\0server")

_references: dict[tuple[str, str], Reference] = {}

Fault = Callable[[], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def healthy() -> AsyncIterator[None]:
    """Cause no fault."""
    yield


class Run:
    """One verb on one object.

    :ivar known: what the verb's preparation returned.
    :ivar on: the kind of the object: ``pub``, ``sub`` or ``thoonk``.
    :ivar thing: the object.
    :ivar call: what the verb returned, once it was called.
    :ivar ended: whether *call* has fired or failed.
    :ivar error: the error it failed with, or that was logged; None if it fired.
    """

    thing: Any = None
    call: Any
    error: Exception | None = None

    def __init__(self, verb: Verb, known: Any, on: str) -> None:
        self.verb = verb
        self.known = known
        self.on = on

    def begin(self) -> None:
        self.ended = False
        self._over: Deferred[tuple[Any, Any]] = Deferred()
        self.call = self.verb.call(self.thing, self.known)
        self.call.addCallbacks(
            lambda result: self._end(result, None), lambda failure: self._end(None, failure.value)
        )

    def _end(self, result: Any, error: Any) -> None:
        self.ended = True
        if not self._over.called:  # already called if the test was cancelled
            self._over.callback((result, error))

    async def outcome(self) -> tuple[Any, Any]:
        """Wait for the end; return the result and the error."""
        return await self._over


Step = Callable[[Run], Any]


def nothing(run: Run) -> None:
    """Do nothing."""


class CellTestCase(ServerFaultTestCase):
    """A test that runs every verb under a fault.

    :ivar ear: an observer of all channels.
    :ivar triggered: whether a waiting call was given what it waits for.
    """

    async def setUp(self) -> None:
        await super().setUp()
        self.writer = await self.pub()
        self.ear = await self.spy()
        self.errors: list[Exception] = []
        observe_log(self, self.heard_log)
        # A call that waits again does so without back-off.
        self.patch(_patience, "back_off", lambda failures: 0.0)

    def heard_log(self, event: Any) -> None:
        if event["log_level"] is LogLevel.error and "error" in event:
            self.errors.append(event["error"])

    def logged(self) -> list[Any]:
        """Return the logged errors, and forget them."""
        errors, self.errors = self.errors, []
        return [*errors, *(failure.value for failure in self.flushLoggedErrors())]

    # -- the objects -------------------------------------------------------------------

    async def connect_thing(self, on: str) -> Any:
        """Connect an object that will meet the fault."""
        if on == "thoonk":
            return await self.thoonk()
        return await (self.pub() if on == "pub" else self.sub())

    async def prepared(self, verb: Verb, on: str | None = None, *, connected: bool = True) -> Run:
        """Create the state that the verb starts from, and connect its object."""
        await self.raw.send("FLUSHALL")
        self.triggered = False
        run = Run(verb, await verb.prepare(self.writer), on or verb.on[-1])
        if connected:
            run.thing = await self.connect_thing(run.on)
        await self.ear.messages()
        return run

    async def quiet(self, thing: Any) -> None:
        """Wait until the object's background work is finished."""
        room = getattr(thing, "waiting_room", None)
        if room is None:
            return
        with suppress(ThoonkError):
            await thing.redis.ping()
            while room.outages.under_way:
                await next(iter(room.outages.under_way))
            await thing.redis.ping()

    async def close(self, run: Run) -> None:
        if run.thing is not None:
            await (run.thing.close() if hasattr(run.thing, "close") else run.thing.redis.close())

    # -- the state -----------------------------------------------------------------------

    async def state(self, own: bool = True) -> dict[bytes, Any]:
        """Read the whole database, except for what depends on the server."""
        state = await super().state(own)
        for key, value in state.items():
            if key.startswith(b"feed.revision:") and isinstance(value, dict):
                state[key] = {k: v for k, v in value.items() if k not in _EPOCHS}
        return state

    async def told(self) -> list[tuple[bytes, bytes]]:
        """Return the events, and forget them."""
        return told(await self.ear.messages(own=True))

    async def reference(self, verb: Verb, on: str | None = None) -> Reference:
        """Return the outcome of the verb when nothing disturbs it."""
        on = on or verb.on[-1]
        if (verb.name, on) not in _references:
            run = await self.prepared(verb, on)
            before = plain(await self.state())
            run.begin()
            await self.release(run)
            result, error = await run.outcome()
            assert error is None, (verb.name, error)
            await self.quiet(run.thing)
            after, events = plain(await self.state()), plain(await self.told())
            _references[verb.name, on] = Reference(verb, before, after, events, plain(result))
            await self.close(run)
        return _references[verb.name, on]

    # -- the progress of a call ------------------------------------------------------------

    async def settle(self, run: Run) -> None:
        """Wait until the call can make no more progress."""
        for _ in range(ROUNDS):
            if run.ended or getattr(run.call, "begun", False):
                break
            with suppress(ResponseError):
                await self.raw.send("PING")

    async def release(self, run: Run) -> None:
        """Give a waiting call what it waits for."""
        if run.verb.trigger is not None and not self.triggered:
            await self.ready(run)
            await self.trigger(run)
        elif run.verb.name.startswith("PythonQueue.get"):
            await self.settle(run)
            if not run.ended:
                # The only item was taken, and the reply was lost.
                await age(self.raw, "delivering")
                await PythonQueue(self.writer, "faults").maintenance()

    async def trigger(self, run: Run) -> None:
        if run.verb.trigger is not None and not run.ended:
            self.triggered = True
            await run.verb.trigger(self.writer, run.known)

    async def ready(self, run: Run) -> None:
        """Wait until the call is waiting for its trigger."""
        if hasattr(run.call, "begun"):
            await until(lambda: run.ended or run.call.begun)
            return
        assert self.faulty.server is not None
        await until_answer(
            self.faulty.server.endpoint(),
            self._somebody_waits,
            lambda waits: waits or run.ended,
            silent=True,
        )
        if not run.ended:
            await self.settle(run)

    async def _somebody_waits(self) -> bool:
        """Return whether a client is blocked, or listens for the end of a job."""
        listening = await self.raw.send("PUBSUB", "NUMSUB", "job.finish:faults")
        return bool(listening[1] or await self.faulty.info("blocked_clients"))

    # -- a cell ----------------------------------------------------------------------------

    async def observe(
        self,
        verb: Verb,
        fault: Fault = healthy,
        on: str | None = None,
        *,
        says: tuple[str, ...] = (),
        inside: bool = False,
        late: bool = False,
        first: Step = nothing,
        then: Step | None = None,
    ) -> str:
        """Return the word for what a verb does under a fault.

        :param on: the kind of object; None: the most capable that has the verb.
        :param says: the codes of which one must be in the error, if there is an error.
        :param inside: whether a waiting call gets what it waits for during the fault.
        :param late: whether the object is connected during the fault.
        :param first: is called just before the verb, and in the same turn of the reactor if it
            returns None.
        :param then: is called during the fault, after the verb; None: wait until the call can make
            no more progress.
        """
        reference = await self.reference(verb, on)
        run = await self.prepared(verb, on, connected=not late)
        try:
            async with fault():
                if late:
                    run.thing = await self.connect_thing(run.on)
                doing = first(run)
                if doing is not None:
                    await doing
                run.begin()
                await (then or self.settle)(run)
                if inside and not run.ended:
                    await self.trigger(run)
                    await self.settle(run)
                during = run.ended
            await self.release(run)
            word = await self.name(reference, run, during)
            if run.error is not None and says:
                text = f"{getattr(run.error, 'code', '')} {run.error}"
                self.assertTrue(any(code in text for code in says), text)
            if word.partition(",")[0] in UNDONE:
                await self.again(reference, run)
        finally:
            await self.close(run)
        if verb.name.startswith("Maintenance"):
            # The server may be healthy again before maintenance repeats a failed step.
            return word.replace("not done", "some done")
        return word

    async def name(self, reference: Reference, run: Run, during: bool) -> str:
        """Name the outcome of a call, and whether it had to wait for the end of the fault."""
        result, run.error = await run.outcome()
        await self.quiet(run.thing)
        state, events = await self.state(), await self.told()
        self.look_into_log(reference, run, plain(state))
        if run.error is None and "resync" in repr(result):
            return "resync"
        seen = Seen(result, run.error, state, events, [])
        word = await self.word(reference, run, seen)
        return "waits, then done" if word in ("done", "answered") and not during else word

    async def word(self, reference: Reference, run: Run, seen: Seen) -> str:
        try:
            return reference.name(seen.result, seen.error, seen.state, seen.events)
        except AssertionError:
            guarantee = guarantee_of(reference)
            if guarantee is None:
                raise
            events = await guarantee(self, reference, seen, run.on)
            events = seen.events if events is None else events
            # The guarantee does not say which item comes first.
            return reference.name(reference.result, seen.error, seen.state, events, True)

    def look_into_log(self, reference: Reference, run: Run, state: Any) -> None:
        """The log contains only errors that a service has no caller to report to."""
        logged = self.logged()
        if logged and not run.verb.name.startswith(SERVICES):
            raise AssertionError(f"it logged {logged}")
        if logged and run.error is None and state != reference.after:
            run.error = logged[0]

    async def again(self, reference: Reference, run: Run) -> None:
        """The same object does it all, now that the server is healthy."""
        if not run.thing.redis.usable and run.on != "thoonk":
            return  # The object has no service, and its connection is gone.
        self.triggered = False
        run.begin()
        await self.release(run)
        word = await self.name(reference, run, during=True)
        assert word in DONE, f"again: {word}"
