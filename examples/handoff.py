"""A queue between two services: one receives lines from the network, the other writes them.

Start each in its own terminal.  Either can be slow, or down for a while::

    python examples/handoff.py --url redis://localhost:6379/0 receive --port 8007
    python examples/handoff.py --url redis://localhost:6379/0 deliver lines.txt

Then send lines, for example with ``nc localhost 8007``.  Each line is answered with ``ok`` once
Redis has stored it; from then on only a consumer removes it.  If you start several ``deliver``,
each line goes to one of them.  While Redis is unavailable, both services wait.  (A delivered line
is no longer in the queue.  If an item must survive the death of its consumer, use a job.)
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
MOST_WAITING = 100  # lines of one sender that Redis has not confirmed yet


async def receive(reactor: Any, options: argparse.Namespace) -> None:
    """Put every line that arrives over TCP into the queue, until Ctrl-C."""
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
    """The connection of a sender; pauses it while too many lines wait for Redis."""

    delimiter = b"\n"

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._waiting = 0

    def lineReceived(self, line: bytes) -> None:
        self._waiting += 1
        if self._waiting == MOST_WAITING:
            self.pauseProducing()
        # The answers have the order of the lines, because Redis replies in order.
        put = self._queue.put(line).addCallbacks(lambda _: b"ok", self._failed)
        put.addCallback(self._answer)

    def _failed(self, failure: Failure) -> bytes:
        # If the connection was lost, the line may or may not be in the queue. If it was never
        # sent (NotSent), it is not. The sender decides what to do.
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
