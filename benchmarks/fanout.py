"""Measures listening: how many messages a handler gets per second, and how soon it gets one.

For the rate, the server publishes by itself, a thousand messages in a script call.  A listener
that is faster than the server waits for it; a burst, which arrives while the listener is paused,
shows how fast such a listener is.
"""

from __future__ import annotations

import contextlib
import statistics
import time

import attr
from bench import Bench, Measured
from peers.programs import MINIMAL, OURS, Program

__all__ = ["LATE_LINES", "Fanout", "Late"]

NAME = "bench"
ITEM = "x" * 100
BATCH = 1000  # messages of one script call
SAMPLES = 0.2  # of the calls of a measurement: messages that are timed
LATE_LINES = ("publish to handler: median, µs", "publish to handler: 99 %, µs")

# KEYS: none. ARGV: first and last revision, epoch (empty: no history), item.
_PUBLISH = """
for revision = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  local message = revision .. '\\0' .. ARGV[4]
  if ARGV[3] ~= '' then
    redis.call('PUBLISH', 'feed.event:bench',
      ARGV[3] .. '\\0' .. revision .. '\\0publish\\0' .. message)
  end
  redis.call('PUBLISH', 'feed.publish:bench', message)
end
"""


@attr.frozen
class Fanout:
    """Events of one feed, to one process.

    :ivar way: the method of txthoonk that listens.
    :ivar channels: the channels that the other programs listen to.
    :ivar patterns: the patterns that they listen to.
    :ivar burst: whether everything is published before the listener starts.
    :ivar handlers: the number of handlers that txthoonk calls for each event.
    :ivar share: the share of the calls of a measurement.
    :ivar alone: whether only txthoonk and its limits are measured.
    """

    way: str
    channels: tuple[str, ...] = (f"feed.publish:{NAME}",)
    patterns: tuple[str, ...] = ()
    burst: bool = False
    handlers: int = 1
    share: float = 10.0
    alone: bool = False

    def measures(self, program: Program) -> bool:
        """Tell whether a program can do it."""
        return bool(program.client) and (
            not self.alone or program.is_limit or program.name == OURS
        )

    def prepare(self, bench: Bench) -> None:
        """Open the feed."""
        bench.open("feed")

    def measure(self, bench: Bench, program: Program, title: str) -> Measured:
        """Measure the events per second, times the handlers."""
        events = bench.scale.count(self.share * program.share)
        client = bench.client(program)
        order = {"way": self.way, "channels": self.channels, "patterns": self.patterns}
        order |= {"handlers": self.handlers, "events": events * self.handlers}
        client.ask(do="listen", messages=events * len(self.channels + self.patterns), **order)
        begin = time.monotonic()
        with client.frozen() if self.burst else contextlib.nullcontext():
            self._publish(bench, events)
            begin = time.monotonic() if self.burst else begin
        each = self.handlers if program.name == OURS else 1
        return {title: events * each / (client.answer()["end"] - begin)}

    def _publish(self, bench: Bench, events: int) -> None:
        epoch = "e" if len(self.channels) > 1 else ""
        for first in range(1, events + 1, BATCH):
            last = min(first + BATCH - 1, events)
            bench.redis.call("EVAL", _PUBLISH, 0, first, last, epoch, ITEM)


@attr.frozen
class Late:
    """The time from a publish to the handler, in one process, one message at a time."""

    def measures(self, program: Program) -> bool:
        """Tell whether a program can do it."""
        return program.name in (OURS, MINIMAL)

    def prepare(self, bench: Bench) -> None:
        """Find out what the limit sends."""
        bench.steps("feed.publish")

    def measure(self, bench: Bench, program: Program, title: str) -> Measured:
        """Measure microseconds."""
        bench.open("feed")
        order = {"steps": bench.steps("feed.publish"), "samples": bench.scale.count(SAMPLES)}
        client = bench.client(program)
        with bench.apart():
            answer = client.ask(do="late", spread=1, **order)
        cuts = statistics.quantiles(answer["delays"], n=100)
        return {LATE_LINES[0]: cuts[49] * 1e6, LATE_LINES[1]: cuts[98] * 1e6}
