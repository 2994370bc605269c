"""The job feed and its model."""

from __future__ import annotations

from typing import Any

import attr
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule
from twisted.internet.defer import Deferred

from tests.model.clients import Cut
from tests.model.job_model import JobModel
from tests.model.job_state import LONG
from tests.model.machine import ModelTestCase
from tests.model.steps import CLIENTS, CUTS, HISTORIES, NUMBERS, SELDOM, batches, weighted
from tests.model.taking import Get, TakingMachine
from tests.model.verbs import Verb
from tests.support import looked
from txthoonk import Claim, Job
from txthoonk.errors import JobNotClaimed

IDS = "abcd"
DELAY = 1000  # seconds
KEEP = 1000  # seconds


def pick(number: int) -> str:
    return IDS[number % len(IDS)]


@attr.frozen
class Put(Verb):
    number: int
    high: bool
    later: bool = False

    def bind(self, model: JobModel) -> tuple[Any, ...]:
        return model.new_item(), int(self.high), pick(self.number)

    def call(self, feed: Job, item: str, priority: int, id_: str) -> Deferred[Any]:
        delay = DELAY if self.later else None
        return feed.put(item, priority, id_, delay=delay)

    def apply(self, model: JobModel, item: str, priority: int, id_: str) -> str:
        if self.later:
            model.put_later(id_, item, priority, LONG)
        else:
            model.put([(id_, item)], priority)
        return id_


@attr.frozen
class PutMany(Verb):
    numbers: list[int]
    high: bool

    def bind(self, model: JobModel) -> tuple[Any, ...]:
        pairs = [(pick(number), model.new_item()) for number in self.numbers]
        return pairs, int(self.high)

    def call(self, feed: Job, pairs: list[tuple[str, str]], priority: int) -> Deferred[Any]:
        ids = [id_ for id_, _ in pairs]
        return feed.put_many([item for _, item in pairs], priority, ids=ids)

    def apply(self, model: JobModel, pairs: list[tuple[str, str]], priority: int) -> Any:
        model.put(pairs, priority)
        return [id_ for id_, _ in pairs]


@attr.frozen
class End(Verb):
    """Ends or renews a claim: by the job's id, or by a claim that a client got.

    :ivar what: the method and its arguments.
    """

    what: str
    number: int
    by_id: bool

    @property
    def doubts(self) -> bool:
        # A release without a reply is repeated if it was not executed.
        return self.what == "release"

    def bind(self, model: JobModel) -> tuple[Any, ...] | None:
        if self.by_id:
            ids = [*model.claimed, *IDS[:1]]
            id_ = ids[self.number % len(ids)]
            return id_, model.held(id_), None
        number = max(model.tokens, default=0) - self.number % 4
        if number not in model.tokens:
            return None
        return model.owners[number][0], number, model.tokens[number]

    def call(self, feed: Job, id_: str, number: int | None, token: str | None) -> Deferred[Any]:
        claim: Any = id_
        if token is not None:
            claim = Claim(id_, None, 0)
            claim.token, claim.job = token, feed
        calls: dict[str, Any] = {
            "finish": lambda: feed.finish(claim),
            "finish with result": lambda: feed.finish(claim, "result\0"),
            "finish and keep": lambda: feed.finish(claim, "kept", KEEP),
            "cancel": lambda: feed.cancel(claim),
            "release": lambda: feed.release(claim),
            "stall": lambda: feed.stall(claim),
            "stall because": lambda: feed.stall(claim, "no"),
            "fail": lambda: feed.fail(claim, ValueError("no")),
            "fail for long": lambda: feed.fail(claim, ValueError("no"), DELAY),
            "renew": lambda: feed.renew(claim),
        }
        ended: Deferred[Any] = calls[self.what]()
        return ended

    def apply(self, model: JobModel, id_: str, number: int | None, token: str | None) -> Any:
        calls: dict[str, Any] = {
            "finish": lambda: model.finish(id_, number, None, False),
            "finish with result": lambda: model.finish(id_, number, "result\0", False),
            "finish and keep": lambda: model.finish(id_, number, "kept", True),
            "cancel": lambda: model.cancel(id_, number),
            "release": lambda: model.release(id_, number),
            "stall": lambda: model.stall(id_, number, None),
            "stall because": lambda: model.stall(id_, number, "no"),
            "fail": lambda: model.fail(id_, number, 0),
            "fail for long": lambda: model.fail(id_, number, LONG),
            "renew": lambda: model.renew(id_, number),
        }
        return calls[self.what]()

    def called(self, model: JobModel, id_: str, number: int | None, token: str | None) -> None:
        if self.what == "release":
            model.ended(id_, number, False)

    def answered(self, model: JobModel, outcome: Any, *args: Any) -> None:
        id_, number, _ = args
        if self.what not in ("release", "renew"):
            failed = getattr(outcome, "check", None)
            model.ended(id_, number, bool(failed and failed(JobNotClaimed)))


@attr.frozen
class Progress(Verb):
    number: int
    done: int

    def bind(self, model: JobModel) -> tuple[Any, ...] | None:
        return End("progress", self.number, False).bind(model)

    def call(self, feed: Job, id_: str, number: int, token: str) -> Deferred[Any]:
        claim = Claim(id_, None, 0)
        claim.token, claim.job = token, feed
        return claim.progress(self.done)

    def apply(self, model: JobModel, id_: str, number: int, token: str) -> None:
        model.tell_progress(id_, number, self.done)


@attr.frozen
class Change(Verb):
    """Changes a job, whether it is claimed or not."""

    what: str
    number: int

    def bind(self, model: JobModel) -> tuple[Any, ...]:
        there = model.stalled if self.what == "retry" else [*model.delayed, *model.items]
        ids = [*there, *IDS[:1]]
        return ids[self.number % len(ids)], model.new_item()

    def call(self, feed: Job, id_: str, item: str) -> Deferred[Any]:
        calls: dict[str, Any] = {
            "retry": lambda: feed.retry(id_),
            "retract": lambda: feed.retract(id_),
            "edit": lambda: feed.edit(id_, item),
        }
        changed: Deferred[Any] = calls[self.what]()
        return changed

    def apply(self, model: JobModel, id_: str, item: str) -> Any:
        calls: dict[str, Any] = {
            "retry": lambda: model.retry(id_),
            "retract": lambda: model.retract(id_),
            "edit": lambda: model.edit(id_, item),
        }
        return calls[self.what]()


@attr.frozen
class Read(Verb):
    what: str
    number: int

    def bind(self, model: JobModel) -> tuple[Any, ...] | None:
        if self.what != "result":
            return (pick(self.number),)
        # get_result would wait for a job that was put again.
        ids = [id_ for id_ in IDS if not model.exists(id_)]
        return (ids[self.number % len(ids)],) if ids and ids[0] in model.kept else None

    def call(self, feed: Job, id_: str) -> Deferred[Any]:
        calls: dict[str, Any] = {
            "ids": lambda: feed.get_ids().addCallback(sorted),
            "available": lambda: feed.get_ids("available"),
            "delayed": lambda: feed.get_ids("delayed"),
            "stats": feed.stats,
            "item": lambda: feed.get_item(id_),
            "has": lambda: feed.has_id(id_),
            "count": lambda: feed.get_failure_count(id_),
            "failure": lambda: feed.get_failure(id_).addCallback(
                lambda failure: failure and (failure.count, failure.type)
            ),
            "result": lambda: feed.get_result(id_),
        }
        read: Deferred[Any] = calls[self.what]()
        return read

    def apply(self, model: JobModel, id_: str) -> Any:
        aside = model.delayed.get(id_)
        calls: dict[str, Any] = {
            "ids": lambda: sorted([*model.items, *model.delayed]),
            "available": lambda: list(model.line),
            "delayed": lambda: list(model.delayed),
            "stats": lambda: {
                "available": len(model.line),
                "claimed": len(model.claimed),
                "stalled": len(model.stalled),
                "delayed": len(model.delayed),
                "publishes": model.publishes,
                "finishes": model.finishes,
            },
            "item": lambda: aside.item if aside else model.items.get(id_),
            "has": lambda: model.exists(id_),
            "count": lambda: model.cancelled.get(id_, 0),
            "failure": lambda: model.failures.get(id_),
            "result": lambda: model.kept[id_][::-1],
        }
        return calls[self.what]()


ENDS = ["finish", "finish with result", *["finish and keep"] * 3, "cancel", "release", "stall"]
ENDS += ["stall because", "fail", "fail", "fail for long", "renew"]
WHAT = ["ids", "available", "delayed", "stats", "item", "has", "count", "failure", "result"]
VERBS = weighted(
    (4, st.builds(Put, NUMBERS, st.booleans())),
    (2, st.builds(Put, NUMBERS, st.booleans(), st.just(True))),
    (1, st.builds(PutMany, st.lists(NUMBERS, min_size=1, max_size=3), st.booleans())),
    (5, st.just(Get())),
    (6, st.builds(End, st.sampled_from(ENDS), NUMBERS, st.booleans())),
    (1, st.builds(Progress, NUMBERS, NUMBERS)),
    (3, st.builds(Change, st.sampled_from(["retry", "retract", "edit"]), NUMBERS)),
    (1, st.builds(Read, st.sampled_from(WHAT), NUMBERS)),
)
SETTINGS = st.sampled_from(["max_failures", "keep_stalled"])


class JobMachine(TakingMachine):
    """The steps of a job feed."""

    TYPE = "job"
    EXAMPLES = 140
    MODEL = JobModel

    @initialize(history=HISTORIES, most=st.integers(0, 2))
    def create(self, history: int, most: int) -> None:
        self.begin({"history": history, "timeout": DELAY, "max_failures": most})

    @rule(client=CLIENTS, verbs=batches(VERBS))
    def do(self, client: int, verbs: list[Verb]) -> None:
        self.act(client, verbs)

    @rule(client=CLIENTS, other=CLIENTS, number=NUMBERS, what=st.sampled_from(ENDS))
    def do_a_job(self, client: int, other: int, number: int, what: str) -> None:
        self.act(client, [Put(number + 1, False), Put(number, True), Get()])
        if number % 2:
            self.act(client, [Progress(0, number)])
        self.act(other, [End(what, 0, False)])

    @rule(client=CLIENTS, number=NUMBERS, what=st.sampled_from(["retract", "edit"]))
    def delay_a_job(self, client: int, number: int, what: str) -> None:
        self.act(client, [Put(number, bool(number % 2), True), Change(what, 0)])

    @rule(client=CLIENTS, verbs=batches(VERBS), cut=CUTS)
    def be_cut_off(self, client: int, verbs: list[Verb], cut: Cut) -> None:
        self.act(client, verbs, cut)

    @rule(client=CLIENTS, setting=SETTINGS, most=st.integers(0, 2))
    def limit(self, client: int, setting: str, most: int) -> None:
        self.configure(client, {setting: most})

    @rule(client=CLIENTS, delayed=st.booleans(), sure=SELDOM)
    def drain(self, client: int, delayed: bool, sure: bool) -> None:
        if sure:
            self.run(self._drain(client, delayed))

    async def _drain(self, client: int, delayed: bool) -> None:
        count = await self.feeds[client].drain(delayed)
        assert count == self.model.drain(delayed)
        await self.compare()

    @rule(client=CLIENTS, number=NUMBERS)
    def put_now(self, client: int, number: int) -> None:
        self.run(self._put_now(client, pick(number)))

    async def _put_now(self, client: int, id_: str) -> None:
        """A put that is due at once takes two steps, together with all other due jobs."""
        if self.model.exists(id_):
            return
        item = self.model.new_item()
        await self.feeds[client].put(item, id_=id_, delay=0)
        self.model.put_later(id_, item, Job.NORMAL, 0)
        self.model.put_due()
        await self.compare()

    async def put_one(self, feed: Job) -> None:
        item = self.model.new_item()
        id_ = next(id_ for id_ in [*IDS, item.split("\0")[0]] if not self.model.exists(id_))
        self.model.put([(id_, item)], Job.NORMAL)
        await feed.put(item, id_=id_)

    async def looked(self) -> None:
        await looked(self.world.raw, self.feeds[0].name)

    async def age(self, state: Any) -> None:
        """Make claims and delayed jobs older, as the model does."""
        raw, claims = self.world.raw, state.hash("claims")
        milliseconds = 2 * DELAY * 1000
        for id_ in state.scores("claimed"):
            score = await raw.send("ZINCRBY", state.key("claimed"), -milliseconds, id_)
            token = claims[id_].partition(" ")[0]
            await raw.send("HSET", state.key("claims"), id_, f"{token} {score.decode()}")
        for id_ in state.scores("delayed"):
            await raw.send("ZINCRBY", state.key("delayed"), -milliseconds, id_)


class JobTests(ModelTestCase):
    """Random verbs of several clients, some of which are cut off."""

    async def test_job(self) -> None:
        """After each step, the jobs and all published messages are as the model expects."""
        await self.explore(JobMachine)
