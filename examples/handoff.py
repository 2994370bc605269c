"""A queue between two services: one takes lines from the network, one writes them away.

Each in a terminal of its own; either one may be down for a while, or slow::

    python examples/handoff.py --url redis://localhost:6379/0 receive --port 8007
    python examples/handoff.py --url redis://localhost:6379/0 deliver lines.txt

Then send lines, for instance with ``nc localhost 8007``.  Each line is answered with
``ok`` once Redis has it: from then on nothing but the consumer takes it away.  Start
several ``deliver``, and each line goes to one of them.  While Redis is away both wait for
it.  (A line that was handed over is gone from the queue; what must survive the death of
its consumer as well is a job.)
"""

from __future__ import annotations

import argparse
import os
from typing import Any

from example_tools import connected, parser, run
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

from txthoonk import Queue

FEED = "handoff"
MOST_WAITING = 100  # lines of one sender that Redis has not confirmed


async def receive(reactor: Any, options: argparse.Namespace) -> None:
    """Put every line that comes over TCP into the queue, until Ctrl-C."""
    async with connected(options.url, reactor) as thoonk:
        queue = await thoonk.queue(FEED)
        endpoint = TCP4ServerEndpoint(reactor, options.port, interface="127.0.0.1")
        port = await endpoint.listen(Factory.forProtocol(lambda: Receiver(queue)))
        print(f"receiving on port {port.getHost().port}", flush=True)
        try:
            await Deferred()  # until Ctrl-C cancels it
        finally:
            await port.stopListening()


class Receiver(LineReceiver):
    """One who sends lines; while too many of them wait for Redis, we read no more."""

    delimiter = b"\n"

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._waiting = 0

    def lineReceived(self, line: bytes) -> None:
        self._waiting += 1
        if self._waiting == MOST_WAITING:
            self.pauseProducing()
        # Answers come in the order of the lines, because Redis answers in order.
        put = self._queue.put(line).addCallbacks(lambda _: b"ok", self._failed)
        put.addCallback(self._answer)

    def _failed(self, failure: Failure) -> bytes:
        # What was sent when the connection was lost may be in the queue or not, and what
        # has waited too long for a new one (NotSent) is not: the sender decides.
        return b"error " + " ".join(failure.getErrorMessage().split()).encode()

    def _answer(self, answer: bytes) -> None:
        self.sendLine(answer)
        self._waiting -= 1
        if self._waiting == MOST_WAITING - 1:
            self.resumeProducing()


async def deliver(reactor: Any, options: argparse.Namespace) -> None:
    """Append every line of the queue to a file, until Ctrl-C."""
    async with connected(options.url, reactor) as thoonk:
        queue = await thoonk.queue(FEED)
        print(f"delivering to {options.file}", flush=True)
        with open(options.file, "a", encoding="utf-8", errors="surrogateescape") as file:
            while True:
                print(await queue.get(), file=file, flush=True)
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
