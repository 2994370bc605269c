"""The calls of verbs that take more than one line; each returns a Deferred."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from tests.faults.states import FEED
from tests.support.waiting import until
from txthoonk import Worker
from txthoonk.maintenance import Maintenance
from txthoonk.types import Claim, Job

__all__ = ["Following", "claim_of", "handled", "maintained", "transaction", "worked"]

MANY = 1200  # items: three calls of put_many


def many() -> list[str]:
    return [f"item {number}" for number in range(MANY)]


def many_ids() -> list[str]:
    return [f"id-{number}" for number in range(MANY)]


def claim_of(pub: Any, known: Claim) -> Claim:
    """Return the claim for another publisher, with the worker's token."""
    claim = Claim(known.id, known.item, known.cancelled)
    claim.token = known.token
    claim.job = Job(pub, FEED)
    return claim


def transaction(pub: Any, known: Any) -> Deferred[Any]:
    """Send a transaction; fires the reply of EXEC."""
    pub.redis.multi().addErrback(lambda _: None)
    for key in ("x", "y"):
        pub.redis.set(key, "1").addErrback(lambda _: None)
    executed: Deferred[Any] = pub.redis.execute()
    return executed


class Following(Deferred[Any]):
    """A call that first starts to follow something.

    :ivar begun: whether it follows, and so misses nothing from then on.
    """

    begun = False


def _following(follow: Callable[[Following], Any]) -> Following:
    following = Following()
    ended = Deferred.fromCoroutine(follow(following))
    ended.addCallbacks(following.callback, following.errback)
    return following


def handled(feed_or_channel: str) -> Any:
    """Register a handler; fires the first message that it receives."""

    async def take(following: Following, sub: Any) -> Any:
        heard: Deferred[Any] = Deferred()

        def handler(*parts: str) -> None:
            if not heard.called:
                heard.callback(parts)

        await sub.register_handler(feed_or_channel, handler)
        following.begun = True
        return await heard

    return lambda sub, known: _following(lambda following: take(following, sub))


def first_events(count: int, subscribe: Any) -> Any:
    """Subscribe; fires the first *count* events."""

    async def take(following: Following, sub: Any, known: Any) -> list[tuple[Any, ...]]:
        subscription = await subscribe(sub, known)
        following.begun = True
        found: list[tuple[Any, ...]] = []
        try:
            while len(found) < count:
                event = await subscription.next()
                found.append((event.kind, event.id, event.item))
        finally:
            subscription.stop()
        return found

    return lambda sub, known: _following(lambda following: take(following, sub, known))


def mirrored(thoonk: Any, known: Any) -> Deferred[Any]:
    """Keep a mirror until it has item c; fires its items."""

    async def follow(following: Following) -> dict[str, Any]:
        mirror = await thoonk.mirror(FEED)
        following.begun = True
        complete: Deferred[None] = Deferred()

        def look(_: object = None) -> None:
            if "c" in mirror and not complete.called:
                complete.callback(None)

        mirror.on_change(look)
        look()
        try:
            await complete
            return dict(mirror)
        finally:
            await mirror.stop()

    return _following(follow)


def worked(pub: Any, known: Any) -> Deferred[Any]:
    """Let a worker do one job; fires the ids that its handler received, once all is reported."""

    async def work() -> list[str]:
        given: list[str] = []
        ended: Deferred[None] = Deferred()

        def handler(claim: Any) -> str:
            given.append(claim.id)
            return claim.item.upper()

        def tell(*_: object) -> None:
            if not ended.called:
                ended.callback(None)

        worker = Worker(Job(pub, FEED), handler, maintenance=False)
        worker.ended.append(tell)
        worker.startService()
        try:
            await ended
            # Stopping gives the worker five seconds for its reports, and this test has more time.
            await until(lambda: not any(consumer.unanswered for consumer in worker._consumers))
        finally:
            await worker.stopService()
        return given

    return Deferred.fromCoroutine(work())


def maintained(pub: Any, known: Any) -> Deferred[Any]:
    """Let the maintenance service make one pass over the feed."""

    async def run() -> None:
        service = Maintenance(pub, [FEED])
        # This is the service's own pass, without the timer of the next one.
        try:
            await service._maintain_all()
        finally:
            await service.stopService()

    return Deferred.fromCoroutine(run())
