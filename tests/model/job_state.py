"""The state of the job feed's model, including what Redis does not hold."""

from __future__ import annotations

import json
from typing import Any

import attr

from tests.model.model import Model
from txthoonk.testing._feed_dump import State

__all__ = ["LONG", "Claimed", "Delayed", "JobState"]

LONG = 1_000_000  # a delay or a claim's timeout, longer than anything else takes


@attr.define
class Claimed:
    """A claim.

    :ivar number: its number among all claims.
    :ivar since: when it was made or renewed.
    """

    number: int
    since: int


@attr.define
class Delayed:
    """A delayed job.

    :ivar push: ``L`` or ``R``: the end of the line that it goes to.
    """

    push: str
    item: str
    due: int


@attr.define
class JobState(Model):
    """Jobs in all their states.

    :ivar time: a number that grows with everything that has a time.
    :ivar line: ids; the last one is claimed next.
    :ivar stalled: id -> when it stalled.
    :ivar failures: id -> the number of failures, and the type of the last one.
    :ivar kept: id -> result and item.
    :ivar claims: the number of claims made.
    :ivar tokens: number of a claim -> its token, if a client received it.
    :ivar owners: number of a claim -> the id of the job, and the client.
    :ivar memory: for each client, id -> number of the last claim that it knows of, and whether it
        knows that the claim was lost.
    :ivar given: id and number of the last claim that was made.
    """

    time: int = 0
    line: list[str] = attr.Factory(list)
    published: set[str] = attr.Factory(set)
    claimed: dict[str, Claimed] = attr.Factory(dict)
    cancelled: dict[str, int] = attr.Factory(dict)
    stalled: dict[str, int] = attr.Factory(dict)
    failures: dict[str, tuple[int, str]] = attr.Factory(dict)
    progress: dict[str, int] = attr.Factory(dict)
    delayed: dict[str, Delayed] = attr.Factory(dict)
    kept: dict[str, tuple[str, str]] = attr.Factory(dict)
    finishes: int = 0
    claims: int = 0
    tokens: dict[int, str] = attr.Factory(dict)
    owners: dict[int, tuple[str, int]] = attr.Factory(dict)
    memory: list[dict[str, tuple[int, bool]]] = attr.Factory(lambda: [{}, {}, {}])
    given: tuple[str, int] = ("", 0)

    LOOSE = ("put",)

    def now(self) -> int:
        self.time += 1
        return self.time

    def setting(self, field: str) -> int:
        return int(self.config.get(field, "0"))

    def exists(self, id_: str) -> bool:
        return id_ in self.items or id_ in self.delayed

    def deleted(self) -> None:
        """Start again; the counters and the clients' knowledge of claims stay."""
        fresh = JobState(self.name)
        of_the_feed = set(attr.fields_dict(JobState)) - set(attr.fields_dict(Model))
        of_the_feed |= {"config", "items", "publishes", "log"}
        for field in of_the_feed - {"time", "claims", "tokens", "owners", "memory"}:
            setattr(self, field, getattr(fresh, field))
        self.messages.append(("delfeed", self.name))

    # -- beside the real thing --------------------------------------------------------------

    def expected(self) -> dict[str, Any]:
        later = {id_: one.push + one.item for id_, one in self.delayed.items()}
        return {
            **super().expected(),
            "line": self.line,
            "published": self.published,
            "claimed": {id_: self.tokens.get(one.number) for id_, one in self.claimed.items()},
            "cancelled": self.cancelled,
            "stalled": set(self.stalled),
            "failures": self.failures,
            "progress": self.progress,
            "delayed": list(self.delayed),
            "later": later,
            "finishes": self.finishes,
            "kept": self.kept,
            "on the way": [],
        }

    def found(self, state: State) -> dict[str, Any]:
        claims, progress = state.hash("claims"), state.hash("progress")
        return {
            **super().found(state),
            "line": state.ids,
            "published": set(state.scores("published")),
            "claimed": {id_: self._token(id_, claims) for id_ in state.scores("claimed")},
            "cancelled": {id_: int(count) for id_, count in state.hash("cancelled").items()},
            "stalled": state.set("stalled"),
            "failures": {id_: _failure(text) for id_, text in state.hash("failures").items()},
            "progress": {id_: json.loads(text)["done"] for id_, text in progress.items()},
            "delayed": list(state.scores("delayed")),
            "later": state.hash("later"),
            "finishes": state.count("finishes"),
            "kept": {id_: tuple(one.parts or ()) for id_, one in state.kept.items()},
            "on the way": [*state.list("transit"), *state.scores("delivering")],
        }

    def _token(self, id_: str, claims: dict[str, str]) -> str | None:
        """Return the token of a claim, if the model can know it."""
        claim = self.claimed.get(id_)
        known = claim is None or claim.number in self.tokens
        return claims.get(id_, "none").partition(" ")[0] if known else None


def _failure(text: str) -> tuple[int, str]:
    count, _, stored = text.split(" ", 2)
    return int(count), json.loads(stored)["type"]
