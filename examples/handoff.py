"""A queue between two services: one takes lines from the network, one writes them away.

Each in a terminal of its own; either one may be down for a while, or slow::

    python examples/handoff.py --url redis://localhost:6379/0 receive --port 8007
    python examples/handoff.py --url redis://localhost:6379/0 deliver lines.txt

Then send lines, for instance with ``nc localhost 8007``.  Each line is answered with
``ok`` once Redis has it: from then on nothing but the consumer takes it away.  Start
several ``deliver``, and each line goes to one of them.  (A line that was handed over is
gone from the queue; what must survive the death of its consumer as well is a job.)
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from example_tools import RedisAt, parser, run
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from txthoonk import ConnectionLost, Queue

FEED = "handoff"
RETRY_PAUSE = 0.5  # seconds between two tries to reach Redis again


async def receive(reactor: Any, options: argparse.Namespace) -> None:
    """Put every line that comes over TCP into the queue, until Ctrl-C."""
    async with RedisAt(options.url, reactor) as redis:
        queue = await (await redis.lasting_publisher()).queue(FEED)
        endpoint = TCP4ServerEndpoint(reactor, options.port, interface="127.0.0.1")
        port = await endpoint.listen(Factory.forProtocol(lambda: Receiver(queue)))
        print(f"receiving on port {port.getHost().port}", flush=True)
        try:
            await Deferred()  # until Ctrl-C cancels it
        finally:
            await port.stopListening()


class Receiver(LineOnlyReceiver):
    """One who sends lines."""

    delimiter = b"\n"

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def lineReceived(self, line: bytes) -> None:
        # Answers come in the order of the lines, because Redis answers in order.
        self._queue.put(line).addCallbacks(self._stored, self._failed)

    def _stored(self, id_: str) -> None:
        self.sendLine(b"ok")

    def _failed(self, failure: Failure) -> None:
        # After a lost connection it may be in the queue or not: the sender decides.
        message = " ".join(failure.getErrorMessage().split())
        self.sendLine(b"error " + message.encode())


async def deliver(reactor: Any, options: argparse.Namespace) -> None:
    """Append every line of the queue to a file, until Ctrl-C."""
    async with RedisAt(options.url, reactor) as redis:
        queue = await (await redis.lasting_publisher()).queue(FEED)
        print(f"delivering to {options.file}", flush=True)
        with open(options.file, "a", encoding="utf-8", errors="surrogateescape") as file:
            while True:
                try:
                    await deliver_one(queue, file)
                except ConnectionLost as error:
                    print(f"waiting for Redis: {error}", file=sys.stderr, flush=True)
                    await deferLater(reactor, RETRY_PAUSE)


async def deliver_one(queue: Queue, file: Any) -> None:
    line = await queue.get()
    print(line, file=file, flush=True)
    os.fsync(file.fileno())


def arguments() -> argparse.Namespace:
    made = parser(__doc__)
    commands = made.add_subparsers(metavar="COMMAND", required=True)
    receiver = commands.add_parser("receive", help="put lines from the network into the queue")
    receiver.add_argument("--port", type=int, default=8007, help="0: any that is free")
    receiver.set_defaults(command=receive)
    deliverer = commands.add_parser("deliver", help="append the lines to a file")
    deliverer.add_argument("file")
    deliverer.set_defaults(command=deliver)
    return made.parse_args()


if __name__ == "__main__":
    chosen = arguments()
    run(chosen.command, chosen)
