"""Waiting connections that no longer answer."""

from __future__ import annotations

from tests.support.patience import (
    BLMOVE,
    GONE,
    HEALTH,
    REPLY,
    UNBLOCK,
    PatienceTestCase,
)
from tests.support.wire import Connection, lose
from txthoonk.consumers._pool import SPARE_TIMEOUT
from txthoonk.consumers.gets._get_queue import TRIES
from txthoonk.consumers.gets._patience import MOST_CHECKS, Health
from txthoonk.errors import ConnectionLost
from txthoonk.types import Queue

NO = Exception("NOPERM this user has no permissions to run the 'client' command")


class Checked:
    """A line that records its checks."""

    def __init__(self, checked: list[int]) -> None:
        self._checked = checked

    def check(self) -> None:
        """Record a check."""
        self._checked.append(1)


class HealthTests(PatienceTestCase):
    def test_alive(self) -> None:
        """At intervals BLMOVE is ended and sent again on its connection; no other call is sent."""
        get = self.queue.get()
        waiting = self.waiting()
        for _ in range(4):
            self.clock.advance(HEALTH)
            self.assertEqual(self.main.sent(), [UNBLOCK])
            self.main.answer(1)
            waiting.answer(None)
            self.assertEqual((waiting.sent(), self.main.sent()), ([BLMOVE], []))
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.leave(get)
        self.main.answer(1)
        waiting.answer(None)
        self.nothing_left()
        self.assertEqual(len(self.endpoint.connections), 1)

    def test_answers_cross(self) -> None:
        """The answer to UNBLOCK may arrive after that of BLMOVE."""
        get = self.queue.get()
        waiting = self.waiting()
        self.clock.advance(HEALTH)
        waiting.answer(None)
        self.assertEqual(waiting.sent(), [BLMOVE])
        self.main.answer(1)
        self.clock.advance(REPLY + 1)
        self.assertFalse(waiting.transport.disconnected)
        self.leave(get)

    def test_many(self) -> None:
        """Many lines are checked in parts, with turns of the reactor in between."""
        checked: list[int] = []
        health = Health(self.room, HEALTH, REPLY)
        lines = [Checked(checked) for _ in range(2 * MOST_CHECKS + 50)]
        for line in lines:
            health.blocked(line)
        health.check()
        self.assertEqual(len(checked), MOST_CHECKS)
        self.clock.advance(0)
        self.assertEqual(checked, [1] * len(lines))
        health.check()
        health.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_vanished(self) -> None:
        """A BLMOVE that was unblocked and is not answered loses its connection."""
        get = self.queue.get()
        waiting = self.waiting()
        self.clock.advance(HEALTH)
        self.main.answer(1)
        self.pass_time(REPLY - 0.5)
        self.assertFalse(waiting.transport.disconnected)
        self.pass_time(0.5)
        self.assertTrue(waiting.transport.disconnected)
        lose(waiting.protocol)
        self.clock.advance(0.1)
        self.main.answer(*[1] * (len(self.main.sent()) - 2), [b"5.5", 0])
        self.assertEqual(len(self.endpoint.connections), 2)
        self.assertNoResult(get)
        self.leave(get)

    def test_unknown(self) -> None:
        """A connection that the server does not know is dropped."""
        get = self.queue.get()
        waiting = self.waiting()
        self.clock.advance(HEALTH)
        for _ in range(TRIES):
            self.assertEqual(self.main.sent(), [UNBLOCK])
            self.main.answer(0)
        self.assertEqual(self.main.sent(), [])
        self.assertTrue(waiting.transport.disconnected)
        lose(waiting.protocol)
        self.clock.advance(0.1)
        self.asked(1)
        self.leave(get)

    def test_answered_meanwhile(self) -> None:
        """A BLMOVE that has ended by itself is not ended again."""
        get = self.queue.get()
        waiting = self.waiting()
        self.clock.advance(HEALTH)
        waiting.answer(b"a")
        self.main.answer(0)
        self.assertEqual(self.main.sent(), [UNBLOCK, [b"queue/get", b"q", b"1", b"a"]])
        self.main.answer([b"5.5", 0, b"a", b"A"])
        self.assertEqual(self.successResultOf(get), "A")
        self.nothing_left()

    def test_may_not_unblock(self) -> None:
        """Where UNBLOCK is forbidden, BLMOVE waits briefly, and must be answered on time."""
        get = self.queue.get()
        self.main.sent()
        self.main.answer([b"5.5", 0])
        (waiting,) = self.endpoint.connections
        waiting.answer(NO, NO)
        for _ in range(3):
            self.pass_time(HEALTH)
            waiting.answer(None)
        self.pass_time(REPLY - 1)
        self.assertFalse(waiting.transport.disconnected)
        self.pass_time(HEALTH + 1)
        self.assertTrue(waiting.transport.disconnected)
        self.assertEqual(self.main.sent(), [])
        self.assertNoResult(get)
        self.leave(get)

    def test_may_not_unblock_any_more(self) -> None:
        """If UNBLOCK is forbidden later, the get goes on waiting on another connection."""
        get = self.queue.get()
        waiting = self.waiting()
        self.clock.advance(HEALTH)
        self.assertEqual(self.main.sent(), [UNBLOCK])
        self.main.answer(NO)
        self.pass_time(HEALTH + REPLY)
        self.assertTrue(waiting.transport.disconnected)
        lose(waiting.protocol)
        self.clock.advance(0.1)
        self.asked(1)
        self.leave(get)

    def test_not_while_the_publisher_is_away(self) -> None:
        """Lines are not checked while the publisher has no connection."""
        get = self.queue.get()
        waiting = self.waiting()
        self.down()
        self.pass_time(5 * HEALTH)
        self.assertFalse(waiting.transport.disconnected)
        self.assertNoResult(get)
        self.leave(get)
        lose(waiting.protocol)

    def test_none(self) -> None:
        """Without an interval there are no checks and no timers."""
        self.room.health = Health(self.room, 0, None)
        get = self.queue.get()
        waiting = self.waiting()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.down()
        self.up()
        self.assertEqual(self.main.sent(), [])
        self.leave(get)
        self.main.answer(1)
        waiting.answer(None)
        self.nothing_left()

    def test_ended_for_nobody(self) -> None:
        """A BLMOVE that was ended because no get is left must be answered on time, too."""
        get = self.queue.get()
        waiting = self.waiting()
        self.leave(get)
        self.main.answer(1)
        self.pass_time(REPLY)
        self.assertTrue(waiting.transport.disconnected)
        lose(waiting.protocol)
        self.nothing_left()

    def test_dropped(self) -> None:
        """Dropping the room leaves no timers, whatever is pending."""
        get = self.queue.get()
        self.waiting()
        self.clock.advance(HEALTH)
        self.main.answer(1)
        self.assertEqual(len(self.clock.getDelayedCalls()), 2)
        self.room.drop(GONE)
        self.failureResultOf(get, ConnectionLost)
        self.nothing_left()

    def test_several_lines(self) -> None:
        """All lines share one timer."""
        gets = [Queue(self.pub, name).get() for name in "abc"]
        self.main.answer(*[[b"5.5", 0] for _ in gets])
        for connection in self.endpoint.connections:
            connection.answer(77, 0)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.leave(*gets)
        for connection in self.endpoint.connections:
            connection.answer(None)
        self.nothing_left()


class SpareTests(PatienceTestCase):
    """A connection that is kept for the next get that waits."""

    def keep(self) -> Connection:
        """Return a spare connection that was used some time ago."""
        get = self.queue.get()
        waiting = self.waiting()
        self.leave(get)
        self.main.answer(1)
        waiting.answer(None)
        self.pass_time(1)
        self.main.sent()
        return waiting

    def test_alive(self) -> None:
        """A spare connection is pinged before BLMOVE is sent, unless it was just used."""
        waiting = self.keep()
        get = self.queue.get()
        self.waiting_again()
        self.assertEqual(waiting.sent(), [[b"PING"]])
        waiting.protocol.dataReceived(b"+PONG\r\n")
        self.assertEqual(waiting.sent(), [BLMOVE])
        waiting.answer(b"a")
        self.main.sent()
        self.main.answer([b"5.5", 0, b"a", b"A"])
        self.assertEqual(self.successResultOf(get), "A")
        again = self.queue.get()
        self.main.sent()
        self.main.answer(1, [b"5.5", 0])
        self.assertEqual(waiting.sent(), [BLMOVE])
        self.leave(again)

    def waiting_again(self) -> None:
        """Answer that there are no items."""
        self.main.sent()
        self.main.answer([b"5.5", 0])

    def test_forgotten(self) -> None:
        """A spare connection that does not answer within a second is replaced; the get goes on."""
        spare = self.keep()
        get = self.queue.get()
        self.waiting_again()
        self.pass_time(SPARE_TIMEOUT - 0.25)
        self.assertFalse(spare.transport.disconnected)
        self.pass_time(0.25)
        self.assertTrue(spare.transport.disconnected)
        new = self.endpoint.connections[-1]
        self.assertIsNot(new, spare)
        new.answer(77, 0)
        self.assertEqual(new.sent()[-1:], [BLMOVE])
        self.leave(get)

    def test_cancelled(self) -> None:
        """Cancelling the get during the ping drops the connection."""
        spare = self.keep()
        get = self.queue.get()
        self.waiting_again()
        self.leave(get)
        self.assertTrue(spare.transport.disconnected)
        self.nothing_left()

    def test_unwell(self) -> None:
        """A spare is replaced if its server is loading, and kept if PING is forbidden."""
        for error, replaced in ((b"-LOADING\r\n", True), (b"-NOPERM\r\n", False)):
            spare = self.keep()
            get = self.queue.get()
            self.waiting_again()
            spare.protocol.dataReceived(error)
            self.assertIs(spare.transport.disconnected, replaced)
            self.leave(get)
            self.setUp()
