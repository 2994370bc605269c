"""The model of the job feed."""

from __future__ import annotations

import json
from typing import Any

import attr

from tests.model.job_state import LONG, Claimed, Delayed, JobState
from tests.model.model import Refused
from txthoonk import Job
from txthoonk.errors import ItemDoesNotExist, JobExists, JobNotClaimed, JobNotStalled

__all__ = ["JobModel"]


@attr.define
class JobModel(JobState):
    """Jobs, and what verbs and maintenance do to them."""

    # -- putting ----------------------------------------------------------------------

    def put(self, pairs: list[tuple[str, str]], priority: int) -> None:
        if any(self.exists(id_) for id_, _ in pairs) or len(dict(pairs)) < len(pairs):
            raise Refused(JobExists)
        log, ids = self.look(), [id_ for id_, _ in pairs]
        if priority == Job.HIGH:
            # The first job is put last, to be claimed next.
            pairs, ids = pairs[::-1], ids[::-1]
            self.line += ids
        else:
            self.line = [*reversed(ids), *self.line]
        self.items |= dict(pairs)
        self.published |= set(ids)
        self.publishes += len(pairs)
        self.tell(log, *[("put", *pair, True) for pair in pairs])

    def put_later(self, id_: str, item: str, priority: int, delay: int) -> None:
        if self.exists(id_):
            raise Refused(JobExists)
        self._delay(id_, "R" if priority == Job.HIGH else "L", item, delay)

    def _delay(self, id_: str, push: str, item: str, delay: int) -> None:
        due = self.now() + delay
        if all(due < other.due for other in self.delayed.values()):
            self.messages.append((f"feed.delayed:{self.name}", id_))
        self.delayed[id_] = Delayed(push, item, due)
        self.delayed = dict(sorted(self.delayed.items(), key=lambda pair: pair[1].due))

    # -- claims -----------------------------------------------------------------------

    def get(self) -> tuple[str, str, int]:
        log, id_ = self.look(), self.line.pop()
        self.claims += 1
        self.claimed[id_] = Claimed(self.claims, self.now())
        self.given = (id_, self.claims)
        self.owners[self.claims] = (id_, self.caller)
        self.tell(log, ("claim", id_, None, True))
        return id_, self.items[id_], self.cancelled.get(id_, 0)

    def delivered(self, claim: Any) -> None:
        """Note that the client has received the last claim."""
        id_, number = self.given
        self.tokens[number] = claim.token
        self.memory[self.caller][id_] = (number, False)

    def holds(self, id_: str, number: int | None) -> bool:
        claim = self.claimed.get(id_)
        return claim is not None and number in (None, claim.number)

    def held(self, id_: str) -> int | None:
        """Return the claim that the client means by an id; None for any."""
        return self.memory[self.caller].get(id_, (None, False))[0]

    def ended(self, id_: str, number: int | None, is_lost: bool) -> None:
        """Note that the client knows that a claim has ended."""
        if self.memory[self.caller].get(id_) == (number, False):
            if is_lost:
                self.memory[self.caller][id_] = (number or 0, True)
            else:
                del self.memory[self.caller][id_]

    def _end(self, id_: str, number: int | None) -> None:
        if not self.holds(id_, number):
            raise Refused(JobNotClaimed)
        del self.claimed[id_]
        self.progress.pop(id_, None)

    def finish(self, id_: str, number: int | None, result: str | None, keep: bool) -> None:
        log = self.look()
        self._end(id_, number)
        item = self.items.pop(id_)
        self.cancelled.pop(id_, None)
        self.failures.pop(id_, None)
        self.published.discard(id_)
        self.finishes += 1
        self.kept.pop(id_, None)
        if result is not None and keep:
            self.kept[id_] = (result, item)
        told = [("finish", id_, result, True)] if result is not None else []
        self.tell(log, *told, ("finished", id_, None, True))

    def cancel(self, id_: str, number: int | None) -> None:
        log = self.look()
        self._end(id_, number)
        self.cancelled[id_] = self.cancelled.get(id_, 0) + 1
        self.line.insert(0, id_)
        self.tell(log, ("cancel", id_, None, True))

    def release(self, id_: str, number: int | None) -> bool:
        if not self.holds(id_, number):
            return False
        log = self.look()
        self._end(id_, number)
        self.line.append(id_)
        self.tell(log, ("retry", id_, None, True))
        return True

    def stall(self, id_: str, number: int | None, reason: str | None) -> None:
        log, count = self.look(), self.cancelled.get(id_, 0)
        self._end(id_, number)
        if reason is not None:
            self.failures[id_] = (count + 1, "Stall")
        self._set_stalled(id_, self.now())
        self.tell(log, ("stall", id_, None, True))

    def _set_stalled(self, id_: str, since: int) -> None:
        self.cancelled.pop(id_, None)
        self.published.discard(id_)
        self.stalled[id_] = since

    def fail(self, id_: str, number: int | None, delay: int) -> str:
        log = self.look()
        self._end(id_, number)
        count = self.cancelled.get(id_, 0) + 1
        self.failures[id_] = (count, "ValueError")
        if 0 < self.setting("max_failures") <= count:
            self._set_stalled(id_, self.now())
            self.tell(log, ("stall", id_, None, True))
            return "stalled"
        self.cancelled[id_] = count
        if delay:
            self.published.discard(id_)
            self._delay(id_, "L", self.items.pop(id_), delay)
        else:
            self.line.insert(0, id_)
        self.tell(log, ("cancel", id_, None, True))
        return "delayed" if delay else "available"

    def renew(self, id_: str, number: int | None) -> None:
        if not self.holds(id_, number):
            raise Refused(JobNotClaimed)
        self.claimed[id_].since = self.now()

    def tell_progress(self, id_: str, number: int | None, done: int) -> None:
        if not self.holds(id_, number):
            raise Refused(JobNotClaimed)
        log = self.look()
        self.progress[id_] = done
        text = json.dumps({"done": done, "total": None, "note": None})
        self.tell(log, ("progress", id_, text, True))

    def taken_again(self, hungry: bool) -> Any:
        """Make a client look for claims that it does not know of, and release them.

        :param hungry: whether it has a get that goes on.
        :return: what that get fires; None if it goes on waiting.
        """
        got = self.get() if hungry and self.line else None
        known = self.memory[self.caller]
        for id_, claim in list(self.claimed.items()):
            is_mine = self.owners[claim.number][1] == self.caller
            is_new = got is not None and got[0] == id_
            if is_mine and not is_new and known.get(id_) != (claim.number, False):
                self.release(id_, claim.number)
        return self.get() if hungry and self.line and got is None else got

    # -- verbs for jobs in any state ----------------------------------------------------

    def retry(self, id_: str) -> None:
        if id_ not in self.stalled:
            raise Refused(JobNotStalled)
        log = self.look()
        del self.stalled[id_]
        self.line.insert(0, id_)
        self.published.add(id_)
        self.tell(log, ("retry", id_, None, True))

    def edit(self, id_: str, item: str) -> None:
        if id_ in self.delayed:
            self.delayed[id_].item = item
            return
        if id_ not in self.items:
            raise Refused(ItemDoesNotExist)
        log = self.look()
        self.items[id_] = item
        self.tell(log, ("edit", id_, item, True))

    def retract(self, id_: str) -> bool:
        if not self.exists(id_):
            return False
        log = self.look()
        self._forget(id_)
        self._retracted(log, [id_])
        return True

    def _forget(self, id_: str) -> None:
        places = (self.items, self.delayed, self.claimed, self.stalled, self.cancelled)
        for place in (*places, self.failures, self.progress):
            place.pop(id_, None)
        self.published.discard(id_)
        self.line = [other for other in self.line if other != id_]

    def _retracted(self, log: Any, ids: list[str]) -> None:
        if log is not None:
            self.tell(log, *[("retract", id_, None, False) for id_ in ids])

    def drain(self, delayed: bool) -> int:
        places = [list(self.line), list(self.delayed) if delayed else []]
        for ids in places:
            log = self.look()
            for id_ in ids:
                self._forget(id_)
            self._retracted(log, ids)
        return sum(map(len, places))

    # -- maintenance ----------------------------------------------------------------------

    def old_claims(self) -> list[str]:
        """Return the claims that are too old, the oldest first."""
        old = [(one.since, id_) for id_, one in self.claimed.items() if one.since < 0]
        return [id_ for _, id_ in sorted(old)] if self.setting("timeout") else []

    def is_due(self) -> list[str]:
        """Return the delayed jobs that are due."""
        return [id_ for id_, one in self.delayed.items() if one.due <= self.time]

    def has_due(self) -> bool:
        return bool(self.old_claims() or self.is_due())

    def age(self) -> None:
        """Let time pass."""
        for claim in self.claimed.values():
            claim.since -= 2 * LONG
        for delayed in self.delayed.values():
            delayed.due -= 2 * LONG

    def maintain(self) -> dict[str, int]:
        cancelled, stalled = self._expire()
        counts = {"cancelled": cancelled, "stalled": stalled, "due": self.put_due()}
        counts["retracted"] = self._trim_stalled()
        return {**counts, "dated": 0, "restored": 0, "dropped": 0}

    def _expire(self) -> tuple[int, int]:
        now, stalls, old = self.now(), 0, self.old_claims()
        for id_ in old:
            log, count = self.look(), self.cancelled.get(id_, 0) + 1
            self._end(id_, None)
            self.failures[id_] = (count, "Timeout")
            if 0 < self.setting("max_failures") <= count:
                self._set_stalled(id_, now)
                self.tell(log, ("stall", id_, None, True))
                stalls += 1
            else:
                self.cancelled[id_] = count
                self.line.insert(0, id_)
                self.tell(log, ("cancel", id_, None, True))
        return len(old) - stalls, stalls

    def put_due(self) -> int:
        log, due = self.look(), self.is_due()
        events: list[tuple[str, str, str | None, bool]] = []
        for id_ in due:
            one = self.delayed.pop(id_)
            self.items[id_] = one.item
            self.published.add(id_)
            self.line.insert(len(self.line) if one.push == "R" else 0, id_)
            if id_ in self.cancelled:
                events.append(("retry", id_, None, True))
            else:
                self.publishes += 1
                events.append(("put", id_, one.item, True))
        self.tell(log, *events)
        return len(due)

    def _trim_stalled(self) -> int:
        most = self.setting("keep_stalled")
        over = len(self.stalled) - most if most else 0
        if over <= 0:
            return 0
        log = self.look()
        old = [id_ for _, id_ in sorted((since, id_) for id_, since in self.stalled.items())]
        for id_ in old[:over]:
            self._forget(id_)
        self._retracted(log, old[:over])
        return over
