"""dramatiq with its Redis broker, as a peer: see ``peer.py``.

Its Worker runs in this process, without the processes that its command line adds.  Of its
middleware, only the retries are on; all of it makes the worker 10 % slower.  A prefetch of 1000
jobs is a little faster than one of 100, but several times slower with 100 threads.
"""

from __future__ import annotations

import threading
from argparse import Namespace

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import Retries
from peer import Threads, main, no_op


def make(url: str) -> dramatiq.Actor:
    broker = RedisBroker(url=url, middleware=[Retries()])
    return dramatiq.actor(no_op, broker=broker, queue_name="bench")


class Producer:
    def __init__(self, url: str) -> None:
        self._no_op = make(url)

    def put(self, payload: str) -> None:
        self._no_op.send(payload)


def put(url: str, options: Namespace) -> None:
    Threads(Producer(url)).run(options)


def work(url: str, concurrency: int) -> None:
    worker = dramatiq.Worker(make(url).broker, worker_threads=concurrency)
    worker.queue_prefetch = 100 if concurrency >= 100 else 1000
    worker.start()
    threading.Event().wait()


if __name__ == "__main__":
    main(put, work)
