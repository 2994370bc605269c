"""Reads items from standard input, one a line, and limits how many calls are under way."""

from __future__ import annotations

import codecs
import os
import threading
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread
from twisted.python.failure import Failure

from txthoonk.errors import InvalidInput

__all__ = ["LineLoad"]

CHUNK = 65536  # bytes to read at a time
LONGEST = 512 * 1024 * 1024  # bytes of a line: the limit of a value in Redis
MARK = codecs.BOM_UTF8  # some programs begin a text with it
IN_FLIGHT = 2000  # calls under way; above this, reading waits


class LineLoad:
    """Calls *publish* for each line of a file descriptor.

    Lines end with ``\\n`` or ``\\r\\n``; the last line needs no end. A byte-order mark of UTF-8 at
    the beginning is skipped.

    :ivar count: lines for which *publish* has succeeded.
    """

    def __init__(self, publish: Callable[[bytes], Deferred[Any]], reactor: Any) -> None:
        self.count = 0
        self._publish = publish
        self._reactor = reactor
        self._in_flight = 0
        self._begun: list[bytes] = []  # the beginning of a line
        self._size = 0  # of *_begun*, in bytes
        self._first = True
        self._at_end = False
        self._room: Deferred[None] | None = None
        self._done: Deferred[int] = Deferred()

    def run(self, descriptor: int) -> Deferred[int]:
        """Read to the end.

        :return: fires the number of lines once all are published. Fails with the first error;
            nothing more is read then.
        """
        # A thread of the reactor's pool would keep the process alive while it waits for input.
        threading.Thread(target=self._read, args=(descriptor,), daemon=True).start()
        return self._done

    def _read(self, descriptor: int) -> None:
        try:
            while not self._done.called:
                chunk = os.read(descriptor, CHUNK)
                blockingCallFromThread(self._reactor, self._take, chunk)
                if not chunk:
                    return
        except Exception as error:  # noqa: BLE001  (any error ends the load)
            self._reactor.callFromThread(self._fail, Failure(error))

    def _take(self, chunk: bytes) -> Deferred[None] | None:
        """Publish the complete lines; what it returns fires when more can be read."""
        lines = self._lines(chunk)
        self._at_end = not chunk
        for line in lines:
            self._in_flight += 1
            self._publish(line).addCallbacks(self._published, self._fail)
        self._finish_if_done()
        if self._in_flight <= IN_FLIGHT or self._done.called:
            return None
        self._room = Deferred()
        return self._room

    def _lines(self, chunk: bytes) -> list[bytes]:
        """Give the lines that a chunk completes, each without its end."""
        *ended, rest = chunk.split(b"\n")
        if ended:
            ended[0] = b"".join([*self._begun, ended[0]])
            self._begun, self._size = [], 0
        lines = [line.removesuffix(b"\r") for line in ended]
        if rest:
            self._begun.append(rest)
            self._size += len(rest)
        elif not chunk and self._begun:
            lines.append(b"".join(self._begun))
        if self._size > LONGEST:
            raise InvalidInput(f"a line is longer than {LONGEST:,} bytes")
        if lines and self._first:
            self._first = False
            lines[0] = lines[0].removeprefix(MARK)
            if not (lines[0] or ended):  # the input is only the mark
                lines.clear()
        return lines

    def _published(self, _: object) -> None:
        self.count += 1
        self._in_flight -= 1
        if self._in_flight <= IN_FLIGHT // 2:
            self._make_room()
        self._finish_if_done()

    def _make_room(self) -> None:
        room, self._room = self._room, None
        if room is not None:
            room.callback(None)

    def _finish_if_done(self) -> None:
        if self._at_end and not self._in_flight and not self._done.called:
            self._done.callback(self.count)

    def _fail(self, failure: Failure) -> None:
        self._in_flight -= 1
        if not self._done.called:
            self._done.errback(failure)
        self._make_room()
