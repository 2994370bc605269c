"""A process that follows feeds with subscriptions and mirrors, and reports what it saw.

    python tests/chaos/_follower.py URL FEED...

It prints ``ready`` and reads one line: a JSON object with the last revision of each feed, 0 for a
feed without a history. When it has seen these revisions, it prints what it saw as JSON.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import connectionDone
from twisted.internet.stdio import StandardIO
from twisted.internet.task import deferLater, react
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from txthoonk import Event, Mirror, Thoonk

QUIET = 1.0  # seconds without an event, after which a feed without a history has no more


class Witness:
    """What one feed has shown so far.

    An item is ``writer number``. Each writer counts the items that it writes to the feed.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.revision: int | None = 0
        self.errors: list[str] = []
        self.resyncs = 0
        self.events = 0
        self._numbers: dict[str, int] = defaultdict(int)
        self._known = True

    def saw(self, event: Event) -> None:
        self.events += 1
        if event.kind == "resync":
            self.resyncs += 1
            self.revision = event.revision
            self._numbers.clear()
            self._known = False
        elif event.revision is not None:
            if self.revision is None or event.revision != self.revision + 1:
                self.errors.append(f"{self.name}: {event.revision} after {self.revision}")
            self.revision = event.revision
        elif event.item is not None:
            self._check_number(*event.item.split())

    def _check_number(self, writer: str, text: str) -> None:
        number = int(text)
        last = self._numbers.get(writer, None if not self._known else 0)
        if last is not None and number > last + 1:
            self.errors.append(f"{self.name}: {writer} {number} after {last}")
        self._numbers[writer] = max(number, last or 0)


class Asked(LineOnlyReceiver):
    transport: Any
    delimiter = b"\n"

    def __init__(self) -> None:
        self.line: Deferred[bytes] = Deferred()
        self.closed: Deferred[None] = Deferred()

    def lineReceived(self, line: bytes) -> None:
        self.line.callback(line)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.closed.callback(None)


async def main(reactor: Any, url: str, *names: str) -> None:
    thoonk = Thoonk(url, reactor, retry_policy=lambda attempt: 0.02)
    await thoonk.connect()
    witnesses = {name: Witness(name) for name in names}
    await gatherResults([thoonk.subscribe(name, one.saw) for name, one in witnesses.items()])
    mirrors: list[Mirror] = await gatherResults([thoonk.mirror(name) for name in names])
    asked = Asked()
    StandardIO(asked)
    asked.sendLine(b"ready")
    revisions = json.loads(await asked.line)
    await quiet(reactor, witnesses, mirrors, revisions)
    seen = {
        mirror.name: {
            "items": list(mirror.items()),
            "current": mirror.current,
            "mirror": mirror.revision,
            **{word: getattr(witnesses[mirror.name], word) for word in SAID},
        }
        for mirror in mirrors
    }
    asked.sendLine(json.dumps(seen).encode())
    await thoonk.close()
    asked.transport.loseConnection()
    await asked.closed


SAID = ("revision", "errors", "resyncs", "events")


async def quiet(
    reactor: Any,
    witnesses: dict[str, Witness],
    mirrors: list[Mirror],
    revisions: dict[str, int],
) -> None:
    """Wait for the last event of each feed."""
    before = None
    while True:
        now = (
            [witness.events for witness in witnesses.values()],
            [(mirror.current, mirror.revision) for mirror in mirrors],
        )
        done = all(
            not revisions[mirror.name]
            or mirror.revision == witnesses[mirror.name].revision == revisions[mirror.name]
            for mirror in mirrors
        )
        if done and now == before and all(mirror.current for mirror in mirrors):
            return
        before = now
        await deferLater(reactor, QUIET)


if __name__ == "__main__":
    react(lambda reactor, *words: Deferred.fromCoroutine(main(reactor, *words)), sys.argv[1:])
