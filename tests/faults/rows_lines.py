"""The rows of queues and of jobs."""

from __future__ import annotations

from tests.faults import calls, states
from tests.faults.row import read, wait, write
from tests.faults.states import FEED
from txthoonk.types import Job, PythonQueue, Queue

__all__ = ["JOBS", "QUEUES"]

# -- queues -----------------------------------------------------------------------------

QUEUES = (
    write("Queue.put", "Queue.put", lambda pub, _: Queue(pub, FEED).put("three"), states.queue),
    write(
        "Queue.put (HIGH)",
        "Queue.put",
        lambda pub, _: Queue(pub, FEED).put("three", Queue.HIGH),
        states.queue,
    ),
    write(
        "Queue.put_many",
        "Queue.put_many",
        lambda pub, _: Queue(pub, FEED).put_many(["three", "four"]),
        states.queue,
    ),
    write(
        "Queue.put_many (several calls)",
        "Queue.put_many",
        lambda pub, _: Queue(pub, FEED).put_many(calls.many()),
        states.queue,
        steps=True,
    ),
    write(
        "Queue.get (an item is there)",
        "Queue.get",
        lambda pub, _: Queue(pub, FEED).get(),
        states.queue,
        steps=True,
    ),
    wait(
        "Queue.get (waits)",
        "Queue.get",
        lambda pub, _: Queue(pub, FEED).get(),
        states.empty_queue,
        states.put_queue,
        steps=True,
    ),
    read(
        "Queue.get_ids", "Queue.get_ids", lambda pub, _: Queue(pub, FEED).get_ids(), states.queue
    ),
    read("Queue.length", "Queue.length", lambda pub, _: Queue(pub, FEED).length(), states.queue),
    write("Queue.pause", "Queue.pause", lambda pub, _: Queue(pub, FEED).pause(), states.queue),
    write(
        "Queue.resume",
        "Queue.resume",
        lambda pub, _: Queue(pub, FEED).resume(),
        states.paused_queue,
    ),
    read(
        "Queue.is_paused",
        "Queue.is_paused",
        lambda pub, _: Queue(pub, FEED).is_paused(),
        states.paused_queue,
    ),
    write(
        "Queue.maintenance",
        "Queue.maintenance",
        lambda pub, _: Queue(pub, FEED).maintenance(),
        states.lost_items,
        steps=True,
    ),
    write(
        "PythonQueue.put",
        "PythonQueue.put",
        lambda pub, _: PythonQueue(pub, FEED).put(("three", 3)),
        states.pyqueue,
    ),
    write(
        "PythonQueue.get (an item is there)",
        "PythonQueue.get",
        lambda pub, _: PythonQueue(pub, FEED).get(),
        states.pyqueue,
        steps=True,
    ),
    wait(
        "PythonQueue.get (waits)",
        "PythonQueue.get",
        lambda pub, _: PythonQueue(pub, FEED).get(),
        states.empty_pyqueue,
        states.put_pyqueue,
        steps=True,
    ),
)

# -- jobs -------------------------------------------------------------------------------

JOBS = (
    write("Job.put", "Job.put", lambda pub, _: Job(pub, FEED).put("three"), states.job),
    write(
        "Job.put (HIGH, with an id)",
        "Job.put",
        lambda pub, _: Job(pub, FEED).put("three", Job.HIGH, "c"),
        states.job,
    ),
    write(
        "Job.put (delayed)",
        "Job.put",
        lambda pub, _: Job(pub, FEED).put("three", id_="c", delay=3600),
        states.job,
    ),
    write(
        "Job.put (with options)",
        "Job.put",
        lambda pub, _: Job(pub, FEED).put("three", id_="c", expires=600, max_failures=2),
        states.job,
    ),
    write(
        "Job.put_many",
        "Job.put_many",
        lambda pub, _: Job(pub, FEED).put_many(["three", "four"], ids=["c", "d"]),
        states.job,
    ),
    write(
        "Job.put_many (several calls)",
        "Job.put_many",
        lambda pub, _: Job(pub, FEED).put_many(calls.many(), ids=calls.many_ids()),
        states.job,
        steps=True,
    ),
    write(
        "Job.get (a job is there)",
        "Job.get",
        lambda pub, _: Job(pub, FEED).get(),
        states.job,
        steps=True,
    ),
    wait(
        "Job.get (waits)",
        "Job.get",
        lambda pub, _: Job(pub, FEED).get(),
        states.empty_job,
        states.put_job,
        steps=True,
    ),
    write(
        "Job.finish",
        "Job.finish",
        lambda pub, claim: Job(pub, FEED).finish(claim),
        states.claimed,
    ),
    write(
        "Job.finish (the result is kept)",
        "Job.finish",
        lambda pub, claim: Job(pub, FEED).finish(claim, "ONE", timeout=600),
        states.claimed,
    ),
    write(
        "Job.finish (and put others)",
        "Job.finish",
        lambda pub, claim: Job(pub, FEED).finish(
            claim, "ONE", then=[Job(pub, FEED).new("next", id_="next", expires=600)]
        ),
        states.claimed,
    ),
    write(
        "Job.finish (an old result goes)",
        "Job.finish",
        lambda pub, claim: Job(pub, FEED).finish(claim, "TWO"),
        states.kept_results,
        steps=True,
    ),
    read(
        "Job.get_result (it is kept)",
        "Job.get_result",
        lambda pub, _: Job(pub, FEED).get_result("a"),
        states.kept_results,
        steps=True,
    ),
    wait(
        "Job.get_result (waits)",
        "Job.get_result",
        lambda pub, _: Job(pub, FEED).get_result("a"),
        states.claimed,
        states.finish_job,
        steps=True,
    ),
    wait(
        "Job.wait",
        "Job.wait",
        lambda pub, _: Job(pub, FEED).wait("a"),
        states.claimed,
        states.finish_job,
        steps=True,
    ),
    write(
        "Job.cancel", "Job.cancel", lambda pub, claim: Job(pub, FEED).cancel(claim), states.claimed
    ),
    write(
        "Job.stall",
        "Job.stall",
        lambda pub, claim: Job(pub, FEED).stall(claim, "no such file"),
        states.claimed,
    ),
    write(
        "Job.fail",
        "Job.fail",
        lambda pub, claim: Job(pub, FEED).fail(claim, ValueError("not a number")),
        states.claimed,
    ),
    write(
        "Job.fail (with a delay)",
        "Job.fail",
        lambda pub, claim: Job(pub, FEED).fail(claim, ValueError("not a number"), 3600),
        states.claimed,
    ),
    write(
        "Job.release",
        "Job.release",
        lambda pub, claim: Job(pub, FEED).release(claim),
        states.claimed,
    ),
    write("Job.retry", "Job.retry", lambda pub, _: Job(pub, FEED).retry("a"), states.stalled),
    write(
        "Job.renew", "Job.renew", lambda pub, claim: Job(pub, FEED).renew(claim), states.old_claim
    ),
    write(
        "Claim.progress",
        "Claim.progress",
        lambda pub, claim: calls.claim_of(pub, claim).progress(1, 2, "half of it"),
        states.claimed,
    ),
    write(
        "Job.retract", "Job.retract", lambda pub, _: Job(pub, FEED).retract("a"), states.claimed
    ),
    write(
        "Job.edit", "Job.edit", lambda pub, _: Job(pub, FEED).edit("a", "other"), states.claimed
    ),
    write("Job.drain", "Job.drain", lambda pub, _: Job(pub, FEED).drain(), states.job, steps=True),
    write(
        "Job.drain (delayed, too)",
        "Job.drain",
        lambda pub, _: Job(pub, FEED).drain(delayed=True),
        states.delayed,
        steps=True,
    ),
    write(
        "Job.maintenance",
        "Job.maintenance",
        lambda pub, _: Job(pub, FEED).maintenance(),
        states.old_claim,
        steps=True,
    ),
    read("Job.get_item", "Job.get_item", lambda pub, _: Job(pub, FEED).get_item("a"), states.job),
    read(
        "Job.get_item (with_revision)",
        "Job.get_item",
        lambda pub, _: Job(pub, FEED).get_item("a", with_revision=True),
        states.job,
    ),
    read("Job.has_id", "Job.has_id", lambda pub, _: Job(pub, FEED).has_id("a"), states.job),
    read("Job.get_ids", "Job.get_ids", lambda pub, _: Job(pub, FEED).get_ids(), states.claimed),
    read(
        "Job.get_ids (of a state)",
        "Job.get_ids",
        lambda pub, _: Job(pub, FEED).get_ids("claimed"),
        states.claimed,
    ),
    read(
        "Job.get_failure",
        "Job.get_failure",
        lambda pub, _: Job(pub, FEED).get_failure("a"),
        states.failed,
    ),
    read(
        "Job.get_failures",
        "Job.get_failures",
        lambda pub, _: Job(pub, FEED).get_failures(),
        states.failed,
    ),
    read(
        "Job.get_failure_count",
        "Job.get_failure_count",
        lambda pub, _: Job(pub, FEED).get_failure_count("a"),
        states.failed,
    ),
    read(
        "Job.get_progress",
        "Job.get_progress",
        lambda pub, _: Job(pub, FEED).get_progress("a"),
        states.progressed,
    ),
    read("Job.stats", "Job.stats", lambda pub, _: Job(pub, FEED).stats(), states.claimed),
)
