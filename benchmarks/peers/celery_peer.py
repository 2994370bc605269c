"""Celery with its Redis transport, as a peer: see ``peer.py``.

Uses the solo pool for concurrency 1, otherwise threads; gevent is no faster, and prefork would
be many processes.  Prefetches 100 jobs; 10 and 1000 are as fast.  Acknowledges a job when it is
done, as the others do; earlier would be as fast.  Results, events and messages among workers are
off.  Several threads that put are slower than one.
"""

from __future__ import annotations

from argparse import Namespace

from celery import Celery
from peer import Threads, main, no_op

NAME = "celery:bench"
PREFETCH = 100  # jobs


def make(url: str) -> Celery:
    app = Celery(broker=url)
    app.conf.update(
        task_default_queue=NAME,
        task_ignore_result=True,
        task_acks_late=True,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=True,
    )
    app.task(no_op, name="no_op")
    return app


class Producer:
    def __init__(self, url: str) -> None:
        self._no_op = make(url).tasks["no_op"]

    def put(self, payload: str) -> None:
        self._no_op.delay(payload)


def put(url: str, options: Namespace) -> None:
    Threads(Producer(url)).run(options)


def work(url: str, concurrency: int) -> None:
    app = make(url)
    app.conf.worker_prefetch_multiplier = max(PREFETCH // concurrency, 1)
    pool = "solo" if concurrency == 1 else "threads"
    options = [f"--pool={pool}", f"--concurrency={concurrency}", "--loglevel=ERROR"]
    alone = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    app.worker_main(["--quiet", "worker", *options, *alone])


if __name__ == "__main__":
    main(put, work)
