"""The states that verbs start from; an undisturbed publisher creates each the same way."""

from __future__ import annotations

from typing import Any

from txthoonk import Claim
from txthoonk.types import Job, Queue

__all__ = ["FEED"]

FEED = "faults"
HISTORY = {"history": 100}
JOBS = {"timeout": 600, "max_failures": 3}


async def nothing(pub: Any) -> None:
    """No feed."""


async def feed(pub: Any) -> None:
    """A full feed with a history: its next item causes three events."""
    news = await pub.feed(FEED, {"max_length": 2, **HISTORY})
    await news.publish("one", "a")
    await news.publish("two", "b")


async def cursor(pub: Any) -> str:
    """The same feed; returns the cursor of its first event."""
    await feed(pub)
    events = await (await pub.feed(FEED)).get_history()
    return str(events[0].cursor)


async def sorted_feed(pub: Any) -> None:
    """Items 1, 2 and 3 in order."""
    ordered = await pub.sorted_feed(FEED, HISTORY)
    for item in ("one", "two", "three"):
        await ordered.append(item)


async def empty_queue(pub: Any) -> None:
    await pub.queue(FEED)


async def queue(pub: Any) -> None:
    """Two items."""
    await (await pub.queue(FEED)).put_many(["one", "two"])


async def paused_queue(pub: Any) -> None:
    await queue(pub)
    await Queue(pub, FEED).pause()


async def lost_items(pub: Any) -> None:
    """Two items whose ids were lost with a consumer that died."""
    await queue(pub)
    await pub.redis.delete(f"feed.ids:{FEED}")


async def empty_pyqueue(pub: Any) -> None:
    await pub.pyqueue(FEED)


async def pyqueue(pub: Any) -> None:
    """Two objects."""
    await (await pub.pyqueue(FEED)).put_many([("one", 1), ("two", 2)])


async def empty_job(pub: Any) -> None:
    await pub.job(FEED, {**HISTORY, **JOBS})


async def job(pub: Any) -> None:
    """Jobs a and b, both available."""
    await (await pub.job(FEED, {**HISTORY, **JOBS})).put_many(["one", "two"], ids=["a", "b"])


async def one_job(pub: Any) -> None:
    """Job a, available."""
    await (await pub.job(FEED, {**HISTORY, **JOBS})).put("one", id_="a")


async def claimed(pub: Any) -> Claim:
    """Job a is claimed, and job b available; returns the claim."""
    await job(pub)
    claim: Claim = await Job(pub, FEED).get()
    return claim


async def progressed(pub: Any) -> None:
    """The same jobs, with job a half done."""
    claim = await claimed(pub)
    await claim.progress(1, 2, "half of it")


async def kept_results(pub: Any) -> Claim:
    """A claimed job of a feed that keeps one result, and has one; returns the claim."""
    await pub.job(FEED, {**HISTORY, **JOBS, "keep_results": 1, "keep_results_for": 600})
    jobs = Job(pub, FEED)
    await jobs.put_many(["one", "two"], ids=["a", "b"])
    await jobs.finish(await jobs.get(), "ONE")
    claim: Claim = await jobs.get()
    return claim


async def failed(pub: Any) -> None:
    """Job a has failed once, and is available again after job b."""
    claim = await claimed(pub)
    await Job(pub, FEED).fail(claim, ValueError("not a number"))


async def stalled(pub: Any) -> None:
    """Job a is stalled, and job b available."""
    claim = await claimed(pub)
    await Job(pub, FEED).stall(claim, "no such file")


async def delayed(pub: Any) -> None:
    """Job a is available, and job b due in an hour."""
    await one_job(pub)
    await Job(pub, FEED).put("two", id_="b", delay=3600)


async def old_claim(pub: Any) -> Claim:
    """Job a's claim is older than the feed's timeout, and job b available; returns the claim."""
    claim = await claimed(pub)
    await pub.redis.send("ZADD", f"feed.claimed:{FEED}", 1_000_000_000_000, "a")
    return claim


# -- triggers: what a waiting call waits for -------------------------------------------


async def put_queue(pub: Any, known: Any) -> None:
    await Queue(pub, FEED).put("late")


async def put_pyqueue(pub: Any, known: Any) -> None:
    await (await pub.pyqueue(FEED)).put(("late", 1))


async def put_job(pub: Any, known: Any) -> None:
    await Job(pub, FEED).put("late", id_="late")


async def finish_job(pub: Any, known: Any) -> None:
    await Job(pub, FEED).finish(known, "ONE")


async def publish(pub: Any, known: Any) -> None:
    await (await pub.feed(FEED)).publish("three", "c")


async def say(pub: Any, known: Any) -> None:
    await pub.publish_channel("faults", "said")
