"""Checks the outcome of the jobs of ``_jobs.py``."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.python.failure import Failure

from tests.chaos._jobs_put import NOTHING
from txthoonk import Job, JobStalled, Thoonk

__all__ = ["Verdict"]

#: The keys that may remain, besides kept results.
LEFT = {
    "feeds",
    *(f"feed.{part}" for part in ("config", "publishes", "finishes", "results", "maintained")),
    *(f"feed.{part}" for part in ("items", "stalled", "failed", "failures")),  # of stalled ones
    *(f"feed.{part}" for part in ("workers", "history", "revision", "jobfinished")),
}

#: Kind of job -> the failures with which it may stall, besides a timeout; and whether it may be
#: finished.
ENDS: dict[str, tuple[set[str], bool]] = {
    **dict.fromkeys(("soon", "now", "deferred", "progress", "long"), (set(), True)),
    "sometimes": ({"ValueError"}, True),
    "again": ({"Retry"}, True),
    "never": ({"ValueError"}, False),
    "stall": ({"Stall"}, False),
    "odd": ({"InvalidType"}, False),
}
TIMEOUT = "Timeout"

#: State of a job -> the kinds of events that may follow -> the next state.
STEPS: dict[str, dict[str, str]] = {
    "none": {"put": "line"},
    "line": {"claim": "claimed"},
    "claimed": {
        "progress": "claimed",
        "claim": "claimed",  # put back in between, because no get was waiting: no event
        "cancel": "back",
        "retry": "line",
        "stall": "stalled",
        "finish": "result",
        "finished": "gone",
    },
    "back": {"claim": "claimed", "retry": "line"},
    "result": {"finished": "gone"},
    "gone": {},
    "stalled": {},
}


class Verdict:
    """Checks each job.

    :param put: feed -> id -> kind of job.
    :param told: feed -> id -> the result of waiting for the end of the job.
    :param log: the file that the workers wrote.
    :ivar wrong: the errors that were found.
    """

    def __init__(
        self,
        thoonk: Thoonk,
        feeds: dict[str, Job],
        put: dict[str, dict[str, str]],
        told: dict[str, dict[str, Any]],
        log: str,
    ) -> None:
        self.thoonk = thoonk
        self.feeds = feeds
        self.put = put
        self.told = told
        self.wrong: list[str] = []
        self.outcomes: dict[str, Counter[str]] = defaultdict(Counter)
        self.ends: Counter[str] = Counter()
        self.begun: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._read(Path(log).read_text().splitlines())

    def _read(self, lines: list[str]) -> None:
        for line in lines:
            what, _, rest = line.partition(" ")
            if what == "begin":
                feed, id_, token = rest.split(" ")
                self.begun[feed, id_].append(token)
            elif what == "end":
                self.ends[rest] += 1
            else:
                self.wrong.append(f"a worker says: {json.loads(rest)}")

    async def judge(self) -> None:
        """Record every error."""
        for name, job in self.feeds.items():
            finished = stalled = 0
            left = set(await job.get_ids("stalled"))
            for id_, kind in self.put[name].items():
                if id_ in left:
                    await self._judge_stalled(job, id_, kind)
                    stalled += 1
                else:
                    finished += await self._judge_finished(job, id_, kind)
            stats = await job.stats()
            self._compare(f"feed {name}: finishes", stats["finishes"], finished)
            self._compare(f"feed {name}: stalled", stats["stalled"], stalled)
            self._compare(f"feed {name}: failures", len(await job.get_failures()), stalled)
            await self._judge_history(name)
        await self._judge_keys()

    def _compare(self, what: str, found: object, expected: object) -> None:
        if found != expected:
            self.wrong.append(f"{what}: {found!r} instead of {expected!r}")

    async def _judge_finished(self, job: Job, id_: str, kind: str) -> int:
        key = f"feed.jobfinished:{job.name}\0{id_}"
        kept = await self.thoonk.redis.lrange(key, 0, -1)
        if len(kept) != 2:
            self.wrong.append(f"{job.name} {id_} is lost: {kept!r}")
            self.outcomes[kind]["lost"] += 1
            return 0
        self.outcomes[kind]["finished"] += 1
        item, result = await job.get_result(id_)
        self._compare(f"the item of {job.name} {id_}", item, kind)
        words = json.loads(result)
        self._compare(f"the result of {job.name} {id_}", words["id"], id_)
        if not ENDS[kind][1]:
            self.wrong.append(f"{job.name} {id_} is finished")
        last = max(self.begun[job.name, id_], key=_time)
        self._compare(f"{job.name} {id_} was finished by claim", words["token"], last)
        self._judge_told(job.name, id_, lambda told: told == result)
        return 1

    async def _judge_stalled(self, job: Job, id_: str, kind: str) -> None:
        failure = await job.get_failure(id_)
        self._compare(f"the item of {job.name} {id_}", await job.get_item(id_), kind)
        type_ = "no reason" if failure is None else failure.type
        self.outcomes[kind][f"stalled: {type_}"] += 1
        if type_ not in (*ENDS[kind][0], TIMEOUT):
            self.wrong.append(f"{job.name} {id_} is stalled: {failure}")
        self._judge_told(job.name, id_, _is_stalled)

    def _judge_told(self, name: str, id_: str, right: Callable[[Any], object]) -> None:
        told = self.told[name].get(id_, NOTHING)
        if told is not NOTHING and not right(told):
            self.wrong.append(f"who waited for {name} {id_} was told {told!r}")

    async def _judge_history(self, name: str) -> None:
        """Follow each job through the history, if the feed has one."""
        entries = await self.thoonk.redis.send("XRANGE", f"feed.history:{name}", "-", "+")
        states: dict[str, str] = defaultdict(lambda: "none")
        for number, (revision, flat) in enumerate(entries, 1):
            words = dict(zip(flat[::2], flat[1::2], strict=True))
            self._compare(f"a revision of {name}", revision, f"{number}-0")
            kind, id_ = words["kind"], words["id"]
            after = STEPS[states[id_]].get(kind)
            if after is None:
                self.wrong.append(f"{name} {id_}: {kind} of a job that is {states[id_]}")
            states[id_] = after or "gone"
        for id_, state in states.items():
            if state not in ("gone", "stalled"):
                self.wrong.append(f"{name} {id_} ends {state} in the history")

    async def _judge_keys(self) -> None:
        found = Counter(key.partition(":")[0] for key in await self.thoonk.redis.keys("*"))
        self._compare("keys that are left", set(found) - LEFT, set())

    def table(self) -> str:
        """Return a table of the outcomes."""
        columns = sorted({outcome for row in self.outcomes.values() for outcome in row})
        lines = [["", *columns]]
        for kind in ENDS:
            row = self.outcomes.get(kind, Counter[str]())
            lines.append([kind, *(str(row[column] or "") for column in columns)])
        total: Counter[str] = sum(self.outcomes.values(), Counter[str]())
        lines.append(["all", *(str(total[column]) for column in columns)])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        rows = ["  ".join(map(str.rjust, line, widths)) for line in lines]
        begun = sum(map(len, self.begun.values()))
        ends = ", ".join(f"{count} {end}" for end, count in sorted(self.ends.items()))
        return "\n".join([*rows, f"{begun} handlers began, of which {ends}"])


def _time(token: str) -> float:
    """Return the time of a claim."""
    return float(token.rpartition(":")[2])


def _is_stalled(told: Any) -> bool:
    """Return whether a wait ended because the job is stalled, with a recorded failure."""
    if not isinstance(told, Failure) or not told.check(JobStalled):
        return False
    error: Any = told.value
    return error.failure is not None
