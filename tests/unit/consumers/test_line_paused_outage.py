"""Gets of a paused feed in the waiting room of a service outlast lost connections."""

from __future__ import annotations

from tests.support.line import UNBLOCK
from tests.support.line_paused import CONFIRMED, ITEM, PAUSED, SUBSCRIBE, Held
from tests.support.patience import HEALTH, REPLY, PatienceTestCase
from tests.support.wire import lose


class PatienceTests(Held, PatienceTestCase):  # type: ignore[misc]
    """Held gets in the waiting room of a service."""

    def test_outage(self) -> None:
        """A held get asks again on the next connection."""
        get = self.queue.get()
        self.hold()
        self.down()
        self.pass_time(100)
        self.assertNoResult(get)
        self.up()
        self.asked(1)
        self.main.answer(ITEM)
        self.assertEqual(self.successResultOf(get), "A")
        self.nothing_left()

    def test_all_lost(self) -> None:
        """A held get that lost both connections asks again, and the line subscribes again."""
        get = self.queue.get()
        sub = self.hold()
        self.down()
        self.endpoint.error = OSError("connection refused")
        lose(sub.protocol)
        self.pass_time(100)
        self.endpoint.error = None
        self.assertNoResult(get)
        self.up()
        self.asked(1)
        self.main.answer(PAUSED)
        again = self.endpoint.connections[-1]
        self.assertIsNot(again, sub)
        self.assertEqual(again.sent(), SUBSCRIBE)
        again.answer(*CONFIRMED)
        self.asked(1)
        self.main.answer(PAUSED)
        self.assertNoResult(get)
        self.configure(again)
        self.asked(1)
        self.main.answer(ITEM)
        self.assertEqual(self.successResultOf(get), "A")
        self.assertEqual(self.room.subscriber.listening, set())

    def test_moved_and_lost(self) -> None:
        """An id that goes back because of the pause is sent again until it is answered."""
        get = self.queue.get()
        self.waiting().answer(b"a")
        self.asked(1, b"a")
        self.main.answer(PAUSED)
        self.assertEqual(self.main.sent(), [[b"queue/put_back", b"a", b""]])
        self.down()
        self.up()
        self.assertEqual(
            self.main.sent(), [[b"queue/put_back", b"a", b""], [b"queue/get", b"q", b"1", b""]]
        )
        self.leave(get)

    def test_silent(self) -> None:
        """A subscriber that does not answer a PING is replaced."""
        get = self.queue.get()
        sub = self.hold()
        self.clock.advance(HEALTH)
        self.assertEqual(sub.sent(), [[b"PING"]])
        self.pass_time(REPLY)
        self.assertTrue(sub.transport.disconnected)
        lose(sub.protocol)
        self.clock.advance(0.1)
        self.listens(self.endpoint.connections[-1])
        self.asked(1)
        self.main.answer(ITEM)
        self.assertEqual(self.successResultOf(get), "A")
        self.nothing_left()

    def test_ended_wait(self) -> None:
        """A check of a held line sends no UNBLOCK, because there is no BLMOVE."""
        get = self.queue.get()
        self.hold()
        self.clock.advance(HEALTH)
        self.assertNotIn(UNBLOCK, self.main.sent())
        self.leave(get)
