"""A service that publishes the lines of a growing log file.

::

    PYTHONPATH=examples twist thoonk-logtail --file app.log

You need no Redis: it starts a private one and logs its URL.  Watch it with
``thoonk --url ... watch log``, and add lines to ``app.log``.  With your own Redis, and including
the lines that the file already has:

::

    PYTHONPATH=examples twist thoonk-logtail --file app.log --from-start --feed log --url redis://localhost:6379/0

(``twistd -n thoonk-logtail ...`` does the same.)  Each line becomes one item, in order.  Each item
gets its id when its line is read.  If the connection is lost before Redis has replied, the line is
published again *with the same id*, so it is neither lost nor stored twice.  The file may be
rotated (renamed and replaced by a new one) or truncated.  An incomplete last line waits until it
ends.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from itertools import islice
from typing import Any
from uuid import uuid4

from example_tools import DEFAULT_URL, URL_HELP, open_feed
from twisted.application.service import MultiService, Service
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python import usage
from twisted.python.failure import Failure

from txthoonk import ConnectionLost, InvalidInput, Thoonk, ThoonkError

BATCH = 100  # lines that are published at the same time
MOST_WAITING = 10_000  # waiting lines from which on no more are read
CHUNK = 65536  # bytes read at a time
LONGEST = 1024 * 1024  # bytes of a line; a longer one becomes several items


class Lines:
    """Reads the new lines of a file, across rotations.

    It cannot detect that a file was rotated or truncated twice between two reads, or that it was
    truncated and has grown beyond its old size.

    :param from_start: whether to include the lines that the file has at the first read.
    """

    log = Logger()

    def __init__(self, path: str, from_start: bool = False) -> None:
        self._path = path
        self._skip = not from_start
        self._files: deque[FileIO] = deque()  # oldest first; the last one is at the path
        self._rest = b""  # the incomplete last line

    def read(self, limit: int) -> list[bytes]:
        """Read at least *limit* lines, or all that the file has.

        Opens a new file at the path even if *limit* is 0.
        """
        lines: list[bytes] = []
        # Look for a new file first: then the old one is complete when we read it.
        with self._errors_logged():
            self._look_for_successor()
        with self._errors_logged():
            while len(lines) < limit and self._read_some(lines):
                pass
        return lines

    @contextmanager
    def _errors_logged(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.log.warn("{error}", error=error)

    def close(self) -> None:
        while self._files:
            self._files.popleft().close()

    def _look_for_successor(self) -> None:
        """Open the file at the path if it is another file and not empty."""
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            self._skip = False  # a file that appears later is new from its start
            return
        if not self._files:
            self._files.append(FileIO(self._path))
            if self._skip:
                self._skip_lines(self._files[0])
        elif found.st_size and not os.path.samestat(found, os.fstat(self._files[-1].fileno())):
            self._files.append(FileIO(self._path))

    def _skip_lines(self, file: FileIO) -> None:
        """Go to the end, but keep an incomplete last line."""
        size = file.seek(0, os.SEEK_END)
        start = file.seek(max(0, size - CHUNK))
        self._rest = file.read(size - start).rpartition(b"\n")[2]

    def _read_some(self, lines: list[bytes]) -> bool:
        """Add the lines of a chunk, or go on to the next file; False if there is no more."""
        if not self._files:
            return False
        file = self._files[0]
        chunk = file.read(CHUNK)
        if chunk:
            *whole, self._rest = (self._rest + chunk).split(b"\n")
            lines += whole
            if len(self._rest) > LONGEST:
                self._give_rest_to(lines)
        elif len(self._files) > 1:
            self._give_rest_to(lines)
            self._files.popleft().close()
        elif os.fstat(file.fileno()).st_size < file.tell():
            self._give_rest_to(lines)
            file.seek(0)
        else:
            return False
        return True

    def _give_rest_to(self, lines: list[bytes]) -> None:
        """Add the incomplete last line as it is."""
        if self._rest:
            lines.append(self._rest)
            self._rest = b""


class Follower(Service):
    """Publishes the lines of a file.

    :param interval: seconds between two checks of the file.
    :param max_length: how many lines the feed keeps; 0 for all.
    :ivar waiting: (id, line), oldest first, of each line that Redis has not confirmed.
    """

    log = Logger()

    def __init__(
        self,
        lines: Lines,
        feed: str,
        thoonk: Thoonk,
        clock: Any,
        interval: float = 0.5,
        max_length: int = 1000,
    ) -> None:
        self.waiting: deque[tuple[str, bytes]] = deque()
        self._lines = lines
        self._feed = feed
        self._max_length = max_length
        self._thoonk = thoonk
        self._interval = interval
        self._looking = LoopingCall(self.look)
        self._looking.clock = clock
        self._sending: Deferred[None] | None = None

    def startService(self) -> None:
        super().startService()
        self._looking.start(self._interval)

    def stopService(self) -> None:
        super().stopService()
        if self._looking.running:
            self._looking.stop()
        self._lines.close()
        if self._sending is not None:
            self._sending.cancel()

    def look(self) -> None:
        """Read new lines, and start to publish the waiting ones."""
        lines = self._lines.read(MOST_WAITING - len(self.waiting))
        self.waiting.extend((uuid4().hex, line) for line in lines)
        if self.waiting and self._sending is None:
            self._sending = Deferred.fromCoroutine(self._send())
            self._sending.addErrback(self._not_sent).addBoth(self._sent)

    async def _send(self) -> None:
        """Publish all that waits."""
        feed = await open_feed(self._thoonk, self._feed, max_length=self._max_length)
        while self.waiting:
            batch = islice(self.waiting, BATCH)
            published = [feed.publish(line, id_) for id_, line in batch]
            # If one fails, publish it and all lines after it again, which keeps their order.
            for success, result in await DeferredList(published, consumeErrors=True):
                if not success:
                    result.raiseException()
                self.waiting.popleft()

    def _not_sent(self, failure: Failure) -> None:
        """Leave the lines to the next check, unless the service was stopped."""
        if failure.trap(ThoonkError, CancelledError) is ThoonkError:
            self.log.warn(
                "{count} lines wait: {error}", count=len(self.waiting), error=failure.value
            )

    def _sent(self, result: Any) -> Any:
        self._sending = None
        return result


class LogTail(MultiService):
    """A service with a Thoonk, which reconnects, and the follower."""

    log = Logger()

    def __init__(self, lines: Lines, feed: str, thoonk: Thoonk, clock: Any, **how: Any) -> None:
        super().__init__()
        self.thoonk = thoonk
        thoonk.setServiceParent(self)
        Follower(lines, feed, thoonk, clock, **how).setServiceParent(self)

    def startService(self) -> None:
        super().startService()
        connected = self.thoonk.whenConnected()
        connected.addCallback(lambda _: self.log.info("feeds at {url}", url=self.thoonk.url))
        connected.addErrback(lambda failure: failure.trap(ConnectionLost))  # stopped before


class Options(usage.Options):
    optParameters = [
        ["file", None, None, "The log file; it does not have to exist yet."],
        ["feed", None, "log", "The name of the feed."],
        ["url", None, DEFAULT_URL, URL_HELP],
        ["max-length", None, 1000, "How many lines the feed keeps; 0 for all.", int],
        ["interval", None, 0.5, "Seconds between two checks of the file.", float],
    ]
    optFlags = [["from-start", None, "Also publish the lines that the file already has."]]

    def postOptions(self) -> None:
        if not self["file"]:
            raise usage.UsageError("which --file?")
        try:
            self.thoonk = Thoonk(self["url"])
        except InvalidInput as error:
            raise usage.UsageError(str(error)) from None


def makeService(options: Options) -> LogTail:
    from twisted.internet import reactor

    lines = Lines(os.path.abspath(options["file"]), bool(options["from-start"]))
    how = {"interval": options["interval"], "max_length": options["max-length"]}
    return LogTail(lines, options["feed"], options.thoonk, reactor, **how)
