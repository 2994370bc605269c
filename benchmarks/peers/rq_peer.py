"""RQ, as a peer: see ``peer.py``.

One process of RQ runs one job at a time.  The worker is a SimpleWorker: the default one
forks a process for every job, 10 to 50 times slower.  Results are not kept.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator

from peer import Threads, chunks, main
from redis import Redis
from rq import Queue, SimpleWorker
from rq.queue import EnqueueData

NAME = "bench"
NO_OP = "peer.no_op"  # by name: the worker imports it


class Producer:
    def __init__(self, url: str) -> None:
        self._queue = Queue(NAME, connection=Redis.from_url(url))

    def put(self, payload: str) -> None:
        self._queue.enqueue(NO_OP, payload, result_ttl=0)

    def put_many(self, payloads: Iterator[str]) -> None:
        for chunk in chunks(payloads):
            self._queue.enqueue_many([prepared(payload) for payload in chunk])


def prepared(payload: str) -> EnqueueData:
    return Queue.prepare_data(NO_OP, (payload,), result_ttl=0)


def put(url: str, options: Namespace) -> None:
    Threads(Producer(url)).run(options)


def work(url: str, concurrency: int) -> None:
    redis = Redis.from_url(url)
    SimpleWorker([Queue(NAME, connection=redis)], connection=redis).work(logging_level="ERROR")


if __name__ == "__main__":
    main(put, work)
