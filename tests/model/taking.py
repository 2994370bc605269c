"""Steps for queues and job feeds: gets that wait, pauses, maintenance."""

from __future__ import annotations

from typing import Any

import attr
from hypothesis import strategies as st
from hypothesis.stateful import rule
from twisted.internet.defer import Deferred

from tests.model.clients import Cut
from tests.model.machine import Machine
from tests.model.steps import CLIENTS, CUTS, HISTORIES, SELDOM
from tests.model.verbs import Verb
from txthoonk.errors import ConnectionLost

__all__ = ["Get", "TakingMachine"]

OLD = 60_000  # milliseconds by which every delivery gets older


@attr.frozen
class Get(Verb):
    """Takes the next item, if there is one."""

    takes = True

    def bind(self, model: Any) -> tuple[Any, ...] | None:
        return () if model.line and not model.paused else None

    def call(self, feed: Any) -> Deferred[Any]:
        got: Deferred[Any] = feed.get()
        return got

    def apply(self, model: Any) -> Any:
        return model.get()

    def answered(self, model: Any, outcome: Any, *args: Any) -> None:
        model.delivered(outcome)


CONFIGS = st.one_of(
    st.builds(lambda paused: {"paused": int(paused)}, SELDOM),
    st.builds(lambda history: {"history": history}, HISTORIES),
)


class TakingMachine(Machine):
    """A feed whose items are taken."""

    @rule(client=CLIENTS, config=CONFIGS)
    def change(self, client: int, config: dict[str, int]) -> None:
        self.configure(client, config)

    # -- gets that wait ---------------------------------------------------------------

    @rule(taker=CLIENTS, other=CLIENTS, what=st.sampled_from(["put", "cut", "cancel"]))
    def wait(self, taker: int, other: int, what: str) -> None:
        model = self.model
        if model.line and model.paused:
            self.run(self._wait_for_resume(taker, other))
        elif not (model.line or model.paused or model.has_due()):
            waits = {
                "put": self._wait_for_put,
                "cut": self._wait_and_be_cut_off,
                "cancel": self._give_up,
            }
            self.run(waits[what](taker, other))

    async def _wait_for_put(self, taker: int, putter: int) -> None:
        got = self.feeds[taker].get()
        await self.world.somebody_blocks()
        await self.put_one(self.feeds[putter])
        await self._has_got(taker, await got)

    async def _has_got(self, taker: int, outcome: Any) -> None:
        """Compare what a waiting get fired with the model."""
        self.model.caller = taker
        expected = self.model.get()
        assert outcome == expected, f"a get that waited fired {outcome!r}, not {expected!r}"
        self.model.delivered(outcome)
        await self.world.clients[taker].settle()
        await self.compare()

    async def _wait_and_be_cut_off(self, taker: int, putter: int) -> None:
        """Cut every connection of a client with a waiting get; a patient client goes on."""
        client, got = self.world.clients[taker], self.feeds[taker].get()
        number = await self.world.somebody_blocks()
        client.hold()
        lost = client.sentinel()
        client.abort()
        await lost
        await self.world.raw.send("CLIENT", "KILL", "ID", number)
        await self.world.gone(client.number)
        if putter == taker or not client.patient:
            await client.resume()
        if client.patient:
            await self.put_one(self.feeds[putter])
        if client.patient and putter != taker:
            await client.resume()
        if client.patient:
            await self._has_got(taker, await got)
        else:
            await _lost(got)
            await self.compare()

    async def put_one(self, feed: Any) -> None:
        """Put something, on the feed and on its model."""
        raise NotImplementedError

    async def _give_up(self, taker: int, _: int) -> None:
        """Cancel a get that waits."""
        got = self.feeds[taker].get()
        got.addErrback(lambda _: None)
        await self.world.somebody_blocks()
        got.cancel()
        await self.world.nobody_blocks()
        await self.world.clients[taker].settle()
        await self.compare()

    async def _wait_for_resume(self, taker: int, other: int) -> None:
        got = self.feeds[taker].get()
        await self.world.clients[taker].settle()
        assert not got.called, "a get of a paused feed has fired"
        self.model.configure({"paused": 0})
        await self.feeds[other].resume()
        await self._has_got(taker, await got)

    # -- maintenance -----------------------------------------------------------------

    @rule(client=CLIENTS, time_passes=st.booleans())
    def maintain(self, client: int, time_passes: bool) -> None:
        if time_passes:
            self.run(self._let_time_pass())
        self.run(self._maintain(client))

    @rule(client=CLIENTS, cut=CUTS)
    def maintain_and_be_cut_off(self, client: int, cut: Cut) -> None:
        self.run(self._let_time_pass())
        self.run(self._maintain_with_cut(client, cut))

    @rule()
    def let_time_pass(self) -> None:
        self.run(self._let_time_pass())

    async def _let_time_pass(self) -> None:
        state = await self.read()
        for id_ in state.scores("delivering"):
            await self.world.raw.send("ZINCRBY", state.key("delivering"), -OLD, id_)
        await self.age(state)
        self.model.age()
        await self.compare()

    async def age(self, state: Any) -> None:
        """Make everything else that can expire older."""

    async def looked(self) -> None:
        """Store an earlier look, if it takes two to expire something."""

    async def _maintain(self, client: int) -> None:
        await self.looked()
        counts = await self.feeds[client].maintenance()
        expected = self.model.maintain()
        assert counts == expected, f"maintenance says {counts}, instead of {expected}"
        await self.compare()

    async def _maintain_with_cut(self, index: int, cut: Cut) -> None:
        """Cut maintenance off halfway; the next maintenance completes it."""
        client = self.world.clients[index]
        await self.looked()
        client.hold()
        (made,) = await self.world.cut(client, [self.feeds[index].maintenance], cut)
        made.addErrback(lambda reason: reason.trap(ConnectionLost) and None)
        await client.resume()
        await made
        await self.looked()
        await self.feeds[index - 1].maintenance()
        self.model.maintain()
        await self.compare()


async def _lost(got: Deferred[Any]) -> None:
    try:
        outcome = await got
    except ConnectionLost:
        return
    raise AssertionError(f"a get whose connection was lost fired {outcome!r}")
