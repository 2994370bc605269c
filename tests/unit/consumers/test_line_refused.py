"""Gets that wait on a server that refuses BLMOVE for a while."""

from __future__ import annotations

from twisted.internet.defer import CancelledError

from tests.support.line import BLMOVE, UNBLOCK, LineTestCase
from tests.support.wire import Connection
from txthoonk.errors import ResponseError

BRPOP = [b"BRPOP", b"feed.ids:q", b"0"]
FULL = Exception("OOM command not allowed when used memory > 'maxmemory'.")
NOTHING = [b"5.5", 0]


class FullTests(LineTestCase):
    """Without memory the line asks, because taking is allowed, and waits with BRPOP."""

    def full(self) -> Connection:
        """Refuse BLMOVE, and bring the line to wait with BRPOP."""
        waiting = self.waiting()
        waiting.answer(FULL)
        self.asked(1)
        self.main.answer(NOTHING)
        self.assertEqual(waiting.sent(), [BRPOP])
        return waiting

    def test_item_in_the_line(self) -> None:
        """An item whose arrival ended BLMOVE with an error is taken by the script."""
        get = self.queue.get()
        waiting = self.waiting()
        waiting.answer(FULL)
        self.asked(1)
        self.main.answer([b"5.5", 0, b"a", b"A"])
        self.assertEqual(self.successResultOf(get), "A")
        self.assertEqual(waiting.sent(), [])
        self.assertEqual(len(self.endpoint.connections), 1)

    def test_popped(self) -> None:
        """The script learns that BRPOP has taken the id; the next wait tries BLMOVE again."""
        get = self.queue.get()
        waiting = self.full()
        waiting.answer([b"feed.ids:q", b"a"])
        self.assertEqual(self.main.sent(), [[b"queue/get", b"q", b"1", b"a", b"1"]])
        self.main.answer([b"5.5", 0, b"a", b"A"])
        self.assertEqual(self.successResultOf(get), "A")
        self.main.answer(1)
        self.main.sent()
        get = self.queue.get()
        self.asked(1)
        self.main.answer(NOTHING)
        self.assertEqual(waiting.sent(), [BLMOVE])
        self.assertNoResult(get)

    def test_cancelled(self) -> None:
        """An id that BRPOP takes after the last get has left goes back."""
        get = self.queue.get()
        waiting = self.full()
        get.cancel()
        self.failureResultOf(get, CancelledError)
        self.assertEqual(self.main.sent(), [UNBLOCK])
        waiting.answer([b"feed.ids:q", b"a"])
        self.assertEqual(self.main.sent(), [[b"queue/put_back", b"a", b"-"]])

    def test_unblocked(self) -> None:
        """A BRPOP that ends without an id leaves nothing to put back, and a new get waits."""
        get = self.queue.get()
        waiting = self.full()
        get.cancel()
        self.failureResultOf(get, CancelledError)
        again = self.queue.get()
        self.main.sent()
        self.main.answer(1)
        waiting.answer(None)
        self.asked(1)
        self.main.answer(NOTHING)
        self.assertEqual(waiting.sent(), [BLMOVE])
        self.assertNoResult(again)

    def test_brpop_refused(self) -> None:
        """If the server refuses BRPOP too, the line tries again after a while, not at once."""
        get = self.queue.get()
        waiting = self.full()
        waiting.answer(FULL)
        self.assertEqual(self.main.sent(), [])
        self.clock.advance(0.1)
        self.asked(1)
        self.main.answer([b"5.5", 0, b"a", b"A"])
        self.assertEqual(self.successResultOf(get), "A")


class PassingTests(LineTestCase):
    """Errors that pass by themselves, on the connection of a bare publisher."""

    ERRORS = (
        "READONLY You can't write against a read only replica.",
        "UNBLOCKED force unblock from blocking operation, instance state changed",
        "MISCONF Redis is configured to save RDB snapshots",
        "LOADING Redis is loading the dataset in memory",
        "BUSY Redis is busy running a script",
    )

    def test_waiting(self) -> None:
        """A get that waits goes on; the line asks again after a while, longer each time."""
        for text in self.ERRORS:
            self.setUp()
            get = self.queue.get()
            waiting = self.waiting()
            waiting.answer(Exception(text))
            self.assertEqual(self.main.sent(), [])
            self.clock.advance(0.1)
            self.asked(1)
            self.main.answer(Exception(text))
            self.clock.advance(0.2)
            self.asked(1)
            self.main.answer([b"5.5", 0, b"a", b"A"])
            self.assertEqual(self.successResultOf(get), "A")

    def test_first(self) -> None:
        """A get that has not waited yet fails at once, and one that waits goes on."""
        for text in self.ERRORS:
            self.setUp()
            waits = self.queue.get()
            self.waiting().answer(Exception(text))
            self.main.sent()
            new = self.queue.get()
            self.asked(2)
            self.main.answer(Exception(text))
            self.failureResultOf(new, ResponseError)
            self.assertNoResult(waits)
            self.clock.advance(0.2)
            self.asked(1)
            waits.cancel()
            self.failureResultOf(waits, CancelledError)
            self.main.answer(Exception(text))
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_lasting(self) -> None:
        """An error that does not pass fails a get that waits."""
        for text in ("NOPERM no", "WRONGTYPE no", "ERR no", "ERR max number of clients reached"):
            self.setUp()
            get = self.queue.get()
            self.waiting().answer(Exception(text))
            self.failureResultOf(get, ResponseError)
