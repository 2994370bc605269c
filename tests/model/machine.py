"""Runs random verbs of several clients on a feed and on its model, and compares the two.

Hypothesis is synchronous: it runs in a thread, and each of its steps is one coroutine that runs in
the reactor's thread.  Its strategies must not depend on what happens on the wire, so steps name
ids, claims and places by small numbers, which are resolved against the present state.

``TXTHOONK_MODEL_EXAMPLES`` makes it run that many random examples for each type.  Without it, the
examples are few, and always the same.
"""

from __future__ import annotations

import gc
import os
import traceback
from collections.abc import Callable, Coroutine
from copy import deepcopy
from functools import partial
from typing import Any, ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis.reporting import with_reporter
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread

from tests.model.clients import Client, Cut
from tests.model.model import Refused, told
from tests.model.steps import CLIENTS, HISTORIES, SELDOM
from tests.model.verbs import PENDING, Planned, Verb
from tests.model.world import World
from tests.support import RedisTestCase, server_url
from txthoonk.testing._audit import findings
from txthoonk.testing._feed_dump import State, read_state

__all__ = ["Machine", "ModelTestCase"]

EXAMPLES = "TXTHOONK_MODEL_EXAMPLES"
STEPS = 25  # steps in one example
TIMEOUT = 600  # seconds for a test that fails: Hypothesis shrinks for up to 300


class Machine(RuleBasedStateMachine):
    """A feed of one type, and its model.

    :cvar TYPE: the type's name.
    :cvar EXAMPLES: how many examples run by default.
    :cvar MODEL: makes the model from a name and a configuration.
    """

    TYPE: ClassVar[str]
    EXAMPLES: ClassVar[int] = 20
    MODEL: ClassVar[Callable[..., Any]]
    world: World
    model: Any

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[tuple[str, str], str]] = []

    def run(self, step: Coroutine[Any, Any, Any]) -> None:
        """Run a step in the reactor's thread."""

        try:
            self.world.wait_for(self._step(step))
        except Exception as error:
            self.world.failures.append("\n".join(_described(error)))
            raise

    async def _step(self, step: Coroutine[Any, Any, Any]) -> None:
        self.world.dirty = True
        await step
        self.world.dirty = False

    # -- an example --------------------------------------------------------------

    def begin(self, config: dict[str, Any]) -> None:
        """Create the feed."""
        self.run(self._begin(self.world.dirty, config))

    async def _begin(self, dirty: bool, config: dict[str, Any]) -> None:
        self.world.examples += 1
        self.name = f"{self.TYPE} {self.world.examples}"
        self.model = self.MODEL(self.name)
        await self.world.ready(dirty)
        await self.open(config)
        await self.world.watcher.follow(self.name)
        self.model.log = self.model.look()
        await self.compare()

    async def open(self, config: dict[str, Any]) -> None:
        """Open the feed on all clients; the first one creates it."""
        fields = {field: str(value) for field, value in config.items()}
        self.model.created({"type": self.TYPE, **fields})
        self.feeds: list[Any] = []
        for client in self.world.clients:
            given = config if not self.feeds else None
            self.feeds.append(await getattr(client.pub, self.TYPE)(self.name, given))

    def configure(self, index: int, config: dict[str, Any]) -> None:
        """Make a client change the configuration."""
        self.run(self._configure(index, config))

    async def _configure(self, index: int, config: dict[str, Any]) -> None:
        history = self.model.history
        self.model.configure(config)
        if (history > 0) != (self.model.history > 0):
            await self.world.watcher.leave()
        await self.feeds[index].set_config(config)
        await self.compare()

    @rule(client=CLIENTS, history=HISTORIES, sure=SELDOM)
    def recreate(self, client: int, history: int, sure: bool) -> None:
        if sure:
            self.create_anew(client, {"history": history})

    def create_anew(self, index: int, config: dict[str, Any]) -> None:
        """Make one client delete the feed and another one create it."""
        self.run(self._create_anew(index, config))

    async def _create_anew(self, index: int, config: dict[str, Any]) -> None:
        await self.world.watcher.leave()
        await self.feeds[index].delete_feed()
        await self._nothing_left()
        self.model.deleted()
        fields = {field: str(value) for field, value in config.items()}
        self.model.created({"type": self.TYPE, **fields})
        other = self.world.clients[index - 1]
        await getattr(other.pub, self.TYPE)(self.name, config)
        await self.compare()

    def teardown(self) -> None:
        """Delete the feed, and check that nothing of it is left."""
        if not self.world.dirty and hasattr(self, "feeds"):
            self.run(self._end())

    async def _end(self) -> None:
        await self.world.watcher.leave()
        await self.feeds[1].delete_feed()
        await self._nothing_left()

    async def _nothing_left(self) -> None:
        state = await self.read()
        assert not list(findings(state, True)), list(findings(state, True))
        keys = await self.world.raw.send("KEYS", "*")
        assert keys == [], f"left behind: {keys}"

    # -- verbs --------------------------------------------------------------------

    def act(self, index: int, verbs: list[Verb], cut: Cut | None = None) -> None:
        """Make a client call verbs back to back, without waiting for replies."""
        self.run(self._act(index, verbs, cut))

    async def _act(self, index: int, verbs: list[Verb], cut: Cut | None) -> None:
        client = self.world.clients[index]
        self.model.caller = index
        planned = self._plan(verbs, self._may_take(client, cut))
        calls: list[Callable[[], Deferred[Any]]] = [
            partial(one.call, self.feeds[index]) for one in planned
        ]
        if cut is None:
            await gatherResults([call() for call in calls])
            self._adopt(planned, len(planned))
        else:
            client.hold()
            made = await self.world.cut(client, calls, cut)
            await self._resolve(client, planned, made, cut)
        await client.settle()
        self.model.settle()
        await self.compare()

    def _may_take(self, client: Client, cut: Cut | None) -> bool:
        # A get that waits for the connection is sent after the other calls that wait.
        before = cut is not None and cut.how == "before"
        return not (client.patient and (before or self.model.has_due()))

    def _plan(self, verbs: list[Verb], may_take: bool) -> list[Planned]:
        planned: list[Planned] = []
        model = self.model
        for verb in verbs:
            args = None if verb.takes and not may_take else verb.bind(model)
            if args is None:
                continue
            may_take = may_take and not verb.takes
            model = deepcopy(model)
            try:
                expected = verb.apply(model, *args)
            except Refused as refused:
                expected = refused
            verb.called(model, *args)
            planned.append(Planned(verb, args, expected, model))
        return planned

    def _adopt(self, planned: list[Planned], count: int) -> None:
        """Advance the model past the first ``count`` verbs, and check what they fired."""
        if count:
            self.model = planned[count - 1].after
        for one in planned:
            one.verb.called(self.model, *one.args)
        for one in planned:
            if one.is_answered:
                one.check()
                one.verb.answered(self.model, one.outcome, *one.args)

    # -- verbs whose connection was cut -------------------------------------------

    async def _resolve(
        self, client: Client, planned: list[Planned], made: list[Deferred[Any]], cut: Cut
    ) -> None:
        """Find out which verbs were executed: the first ones, each as a whole, and no others."""
        state, messages = await self._look()
        least = max(
            [number for number, one in enumerate(planned, 1) if one.is_answered], default=0
        )
        most = 0 if cut.how == "before" else len(planned)
        before, differences = self.model, []
        for count in range(least, most + 1):
            model = planned[count - 1].after if count else before
            for variant in model.variants():
                different = self._difference(variant, state, messages)
                if not different:
                    await self._go_on(client, planned, made, count)
                    return
                differences.append(f"after {count} verbs: {different}")
        raise AssertionError("neither done nor not done: " + "\n".join(differences))

    async def _go_on(
        self, client: Client, planned: list[Planned], made: list[Deferred[Any]], count: int
    ) -> None:
        """Reconnect, and check that this changes only what the model expects."""
        self._adopt(planned, count)
        waiting = [one.outcome is PENDING for one in planned]
        doubted = [one for one in planned if one.verb.doubts and not one.is_answered]
        await client.resume()
        if any(waiting) and not any(one.verb.takes for one in doubted):
            await gatherResults(made)  # they waited for the connection
            self._adopt(planned, len(planned))
        elif doubted:
            await self._take_again(client, planned, made, waiting)

    async def _take_again(
        self,
        client: Client,
        planned: list[Planned],
        made: list[Deferred[Any]],
        waiting: list[bool],
    ) -> None:
        """Check that what was taken for a lost get is returned, and that a patient get goes on."""
        if not any(waiting):
            self.model.taken_again(False)
            return
        index = waiting.index(True)
        one, got = planned[index], made[index]
        one.expected = self.model.taken_again(True)
        if one.expected is None:
            await client.settle()
            got.cancel()
            await self.world.nobody_blocks()
        else:
            await got
            one.check()
            one.verb.answered(self.model, one.outcome)

    # -- comparing ------------------------------------------------------------------

    async def compare(self) -> None:
        """Check that the feed and all published messages are as the model expects."""
        state, messages = await self._look()
        different = self._difference(self.model, state, messages)
        assert not different, different
        wrong = [wrong for _, wrong in findings(state, True) if not self.model.unsettled(wrong)]
        assert not wrong, wrong
        await self.world.watcher.check(self.model)
        self.model.messages, self.model.events, self.told = [], [], []

    async def read(self) -> State:
        """Read the feed."""
        return await read_state(self.world.raw, self.name)

    async def _look(self) -> tuple[State, list[tuple[tuple[str, str], str]]]:
        """Read the feed, and return all messages since the last comparison."""
        state = await self.read()
        heard = await self.world.spy.messages(own=True)
        # The model does not know whether a caller waits for the result.
        self.told += [told(*m) for m in heard if not m[0].startswith(b"feed.ended:")]
        return state, self.told

    def _difference(self, model: Any, state: State, messages: list[Any]) -> str:
        found, expected = model.found(state), model.expected()
        lines = [
            f"{part} is {found[part]!r} instead of {expected[part]!r}"
            for part in expected
            if found[part] != expected[part]
        ]
        heard = [model.as_told(*message) for message, _ in messages]
        if heard != model.messages:
            lines.append(f"told was {heard!r} instead of {model.messages!r}")
        epochs = {epoch for _, epoch in messages} - {"", state.hash("revision").get("\0epoch")}
        return "; ".join(lines + [f"told was of epoch {epoch}" for epoch in epochs])


class ModelTestCase(RedisTestCase):
    """Tests that run a machine."""

    timeout = TIMEOUT

    async def explore(self, machine: type[Machine]) -> None:
        """Look for an example in which the feed differs from its model."""
        spy = await self.spy()
        world = World(self.target, await server_url(), self.raw, spy)
        playing = type(machine.__name__, (machine,), {"world": world})
        self.addCleanup(world.end)
        failure = await deferToThread(_explore, playing)
        if failure:
            # The calls in progress when a step failed have errors that nothing handles.
            gc.collect()
            self.flushLoggedErrors()
            self.fail(failure)
        self.assertGreater(world.examples, 1)


def _explore(machine: type[Machine]) -> str:
    """Run examples, in a thread; return the smallest failing one, as text."""
    examples = int(os.environ.get(EXAMPLES, 0))
    chosen = settings(
        max_examples=examples or machine.EXAMPLES,
        stateful_step_count=STEPS,
        derandomize=not examples,
        database=None,
        deadline=None,
        print_blob=False,
        phases=(Phase.generate, Phase.shrink),
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    steps: list[str] = []
    with with_reporter(lambda text: steps.append(str(text))):
        try:
            run_state_machine_as_test(machine, settings=chosen)
        except Exception as error:  # noqa: BLE001  (whatever it is, the steps belong to it)
            # A failure that does not recur is described only by its first occurrence.
            first = machine.world.failures[:1]
            return "\n".join([*first, "-- when smaller --", *_described(error), *steps])
    return ""


def _described(error: BaseException) -> list[str]:
    """Describe what failed and in which steps."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "site-packages" not in frame.filename]
    where = traceback.format_list(ours[-6:])
    lines = [*where, f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])]
    for inner in getattr(error, "exceptions", ()):
        lines += _described(inner)
    return lines
