"""Gets that wait across an outage, driven byte by byte."""

from __future__ import annotations

from itertools import pairwise

from tests.support.patience import (
    BLMOVE,
    HEALTH,
    REPLY,
    UNBLOCK,
    PatienceTestCase,
)
from tests.support.wire import lose
from txthoonk.consumers.gets._get_queue import FRESH
from txthoonk.errors import (
    ConnectionLost,
    Empty,
    FeedDoesNotExist,
    FeedTypeMismatch,
    ResponseError,
)


class PublisherLostTests(PatienceTestCase):
    def test_asking(self) -> None:
        """A get that is lost with the connection is sent again on the next one."""
        first, second = self.queue.get(), self.queue.get()
        self.asked(1)
        self.down()
        self.pass_time(100)
        self.assertNoResult(first)
        self.up()
        self.asked(2)
        self.main.answer([b"5.5", 0, b"a", b"A", b"b", b"B"])
        self.assertEqual(self.successResultOf(first), "A")
        self.assertEqual(self.successResultOf(second), "B")
        self.nothing_left()

    def test_during_the_outage(self) -> None:
        """A get during the outage sends nothing, however long the outage lasts."""
        self.down()
        get = self.queue.get()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.up()
        self.asked(1)
        self.main.answer([b"5.5", 0, b"a", b"A"])
        self.assertEqual(self.successResultOf(get), "A")

    def test_waiting(self) -> None:
        """BLMOVE goes on in an outage; its id is taken as soon as there is a connection."""
        get = self.queue.get()
        waiting = self.waiting()
        self.down()
        waiting.answer(b"a")
        self.pass_time(FRESH - 1)
        self.up()
        self.asked(1, b"a")
        self.main.answer([b"5.5", 0, b"a", b"A"])
        self.assertEqual(self.successResultOf(get), "A")
        self.assertEqual(self.main.sent(), [[b"queue/delivered", b"a"]])

    def test_moved_and_asked(self) -> None:
        """An id that BLMOVE returned is requested again if the answer was lost."""
        get = self.queue.get()
        self.waiting().answer(b"a")
        self.asked(1, b"a")
        self.down()
        self.up()
        self.asked(1, b"a")
        self.leave(get)

    def test_moved_long_ago(self) -> None:
        """An id is not requested again when maintenance may have put it back meanwhile."""
        get = self.queue.get()
        waiting = self.waiting()
        self.down()
        waiting.answer(b"a")
        self.pass_time(FRESH + 1)
        self.up()
        self.asked(1)
        self.leave(get)

    def test_checked_when_it_is_back(self) -> None:
        """After the outage the wait is checked at once, because it may have ended silently."""
        get = self.queue.get()
        waiting = self.waiting()
        self.down()
        self.up()
        self.assertEqual(self.main.sent(), [UNBLOCK])
        self.main.answer(1)
        waiting.answer(None)
        self.assertEqual((waiting.sent(), self.main.sent()), ([BLMOVE], []))
        self.leave(get)

    def test_time_is_up(self) -> None:
        """The timeout of a get counts during the outage."""
        get = self.queue.get(5)
        self.down()
        self.clock.advance(4.9)
        self.assertNoResult(get)
        self.clock.advance(0.1)
        self.failureResultOf(get, Empty)
        self.nothing_left()

    def test_cancelled(self) -> None:
        """A get that is cancelled during the outage leaves nothing, and closes its connection."""
        get = self.queue.get()
        waiting = self.waiting()
        self.down()
        self.leave(get)
        self.assertTrue(waiting.transport.disconnected)
        lose(waiting.protocol)
        self.nothing_left()
        self.up()
        self.assertEqual(self.main.sent(), [])

    def test_cancelled_with_an_id(self) -> None:
        """An id that BLMOVE returned for a cancelled get goes back to the front."""
        get = self.queue.get()
        waiting = self.waiting()
        self.down()
        waiting.answer(b"a")
        self.leave(get)
        self.nothing_left()
        self.up()
        self.assertEqual(self.main.sent(), [[b"queue/put_back", b"a", b""]])

    def test_delivered(self) -> None:
        """An acknowledgement is sent on the next connection, not queued on this one."""
        get = self.queue.get()
        self.main.answer([b"5.5", 0, b"a", b"A"])
        self.successResultOf(get)
        self.down()
        self.pass_time(20)
        self.up()
        self.assertEqual(self.main.sent(), [[b"queue/delivered", b"a"]])

    def test_no_spinning(self) -> None:
        """A connection that failed, but is not closed yet, is not used again and again."""
        get = self.queue.get()
        self.main.protocol._fail_all(ConnectionLost("nonsense received"))
        other = self.queue.get()
        self.assertNoResult(get)
        self.assertNoResult(other)
        self.down()
        self.up()
        self.asked(2)
        self.leave(get, other)

    def test_refused(self) -> None:
        """Other errors fail the waiting gets."""
        for text, error in (
            ("NOFEED feed 'q' does not exist", FeedDoesNotExist),
            ("WRONGFEEDTYPE feed 'q' is of type 'feed'", FeedTypeMismatch),
            ("NOPERM this user has no permissions", ResponseError),
        ):
            gets = [self.queue.get(), self.queue.get()]
            self.main.answer(Exception(text))
            for get in gets:
                self.failureResultOf(get, error)
            self.nothing_left()

    def test_passing_refusals(self) -> None:
        """Temporary errors cause another attempt after a delay that grows."""
        for text in (
            "BUSY Redis is busy running a script",
            "LOADING Redis is loading the dataset in memory",
            "MISCONF Redis is configured to save RDB snapshots",
            "READONLY You can't write against a read only replica.",
            "ERR Error running script (call to f_00): @user_script:1: @user_script: 1: "
            "-READONLY You can't write against a read only replica.",
        ):
            get = self.queue.get()
            self.asked(1)
            for _ in range(2):
                self.main.answer(Exception(text))
                self.assertEqual(self.main.sent(), [])
                self.clock.advance(0.2)
                self.asked(1)
            self.main.answer([b"5.5", 0, b"a", b"A"], 1)
            self.assertEqual(self.successResultOf(get), "A")
            self.main.sent()

    def test_no_right_to_wait(self) -> None:
        """Without the right to BLMOVE a get fails; if BLMOVE worked before, the get goes on."""
        no = Exception("NOPERM this user has no permissions to run the 'blmove' command")
        get = self.queue.get()
        self.waiting().answer(no)
        self.failureResultOf(get, ResponseError)
        get = self.queue.get()
        waiting = self.waiting()
        waiting.answer(b"a")
        self.main.answer([b"5.5", 0, b"a", b"A"], 1)
        self.assertEqual(self.successResultOf(get), "A")
        get = self.queue.get()
        self.main.sent()
        self.main.answer([b"5.5", 0])
        waiting.answer(no)
        self.assertNoResult(get)
        self.leave(get)

    def test_rights_that_were_there(self) -> None:
        """A get that waits survives a change of the password or of a rule."""
        get = self.queue.get()
        lose(self.waiting().protocol)
        self.clock.advance(0.1)
        self.asked(1)
        self.main.answer([b"5.5", 0])
        self.endpoint.connections[-1].answer(Exception("WRONGPASS invalid password"))
        self.assertNoResult(get)
        self.clock.advance(0.2)
        self.asked(1)
        self.leave(get)


class DeletedTests(PatienceTestCase):
    NO_FEED = Exception("NOFEED feed 'q' does not exist")

    def test_goes_on(self) -> None:
        """A get that waits survives the end of the feed; a get that comes then fails."""
        get = self.queue.get()
        waiting = self.waiting()
        self.clock.advance(HEALTH)
        late = self.queue.get()
        self.main.answer(1)
        waiting.answer(None)
        self.main.answer(self.NO_FEED)
        self.failureResultOf(late, FeedDoesNotExist)
        self.assertEqual(waiting.sent(), [BLMOVE])
        self.main.sent()
        waiting.answer(b"a")
        self.asked(1, b"a")
        self.main.answer([b"5.5", 0, b"a", b"A"])
        self.assertEqual(self.successResultOf(get), "A")

    def test_list_without_a_feed(self) -> None:
        """Ids in the list of a missing feed stay there, and are requested rarely."""
        get = self.queue.get()
        waiting = self.waiting()
        gaps = []
        for _ in range(12):
            waiting.answer(b"a")
            self.asked(1, b"a")
            self.main.answer(self.NO_FEED)
            self.assertEqual(self.main.sent(), [[b"queue/put_back", b"a", b""]])
            self.main.answer(1)
            since = self.clock.seconds()
            while not (sent := self.main.sent()):
                self.clock.advance(0.05)
            gaps.append(self.clock.seconds() - since)
            self.assertEqual(sent, [[b"queue/get", b"q", b"1", b""]])
            self.main.answer(self.NO_FEED)
            sent = waiting.sent()
            if sent == [[b"PING"]]:  # it was not used for a while
                waiting.protocol.dataReceived(b"+PONG\r\n")
                sent = waiting.sent()
            self.assertEqual(sent, [BLMOVE])
        self.assertGreater(gaps[-1], 14.9)
        self.leave(get)


class WaitingConnectionLostTests(PatienceTestCase):
    def test_replaced(self) -> None:
        """After a delay the line asks again, and waits on another connection."""
        get = self.queue.get()
        lose(self.waiting().protocol)
        self.assertNoResult(get)
        self.assertEqual(self.main.sent(), [])
        self.clock.advance(0.1)
        self.asked(1)
        self.waiting()
        self.assertEqual(len(self.endpoint.connections), 2)
        self.leave(get)

    def test_back_off(self) -> None:
        """While no connection can be made, attempts become rare; each of them asks for items."""
        self.endpoint.error = OSError("too many open files")
        get = self.queue.get()
        attempts = []
        for _ in range(4000):
            if self.main.sent():
                self.main.answer([b"5.5", 0])
                attempts.append(self.clock.seconds())
            self.clock.advance(0.05)
        gaps = [after - before for before, after in pairwise(attempts)]
        self.assertTrue(all(gap < 30.1 for gap in gaps), gaps)
        self.assertTrue(all(gap > 14.9 for gap in gaps[10:]), gaps)
        self.assertLess(gaps[0], 0.2)
        self.endpoint.error = None
        self.pass_time(31)
        self.waiting()
        self.leave(get)

    def test_get_during_back_off(self) -> None:
        """A get during the back-off asks for items, and does not hasten the attempts."""
        self.endpoint.error = OSError("too many open files")
        first, second = self.queue.get(), self.queue.get()
        self.main.answer([b"5.5", 0])
        self.main.sent()
        third = self.queue.get()
        self.asked(3)
        self.main.answer([b"5.5", 0, b"a", b"A"])
        self.assertEqual(self.successResultOf(first), "A")
        self.assertEqual(self.endpoint.attempts, 1)
        self.leave(second, third)
        self.nothing_left()

    def test_cancelled_during_back_off(self) -> None:
        """Cancelling the last get cancels the next attempt."""
        get = self.queue.get()
        lose(self.waiting().protocol)
        self.leave(get)
        self.nothing_left()

    def test_lost_with_the_publisher(self) -> None:
        """While the publisher has no connection, no waiting connection is opened."""
        get = self.queue.get()
        waiting = self.waiting()
        lose(waiting.protocol)
        self.down()
        self.pass_time(100)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(self.endpoint.connections), 1)
        self.up()
        self.asked(1)
        self.waiting()
        self.leave(get)

    def test_connecting_for_too_long(self) -> None:
        """An attempt to connect that takes too long is cancelled and repeated."""
        self.endpoint.slow = True
        get = self.queue.get()
        self.main.answer([b"5.5", 0])
        self.pass_time(REPLY + 1)
        self.main.answer([b"5.5", 0])
        self.assertEqual(self.endpoint.attempts, 2)
        self.assertNoResult(get)
        self.leave(get)
        self.nothing_left()

    def test_silent_from_the_first(self) -> None:
        """A connection that never answers is dropped."""
        get = self.queue.get()
        self.main.answer([b"5.5", 0])
        (waiting,) = self.endpoint.connections
        self.pass_time(REPLY)
        self.assertTrue(waiting.transport.disconnected)
        self.assertNoResult(get)
        self.leave(get)
        self.nothing_left()

    def test_passing_errors(self) -> None:
        """Temporary errors of the waiting connection do not fail the get."""
        for text in (
            "LOADING Redis is loading the dataset in memory",
            "UNBLOCKED force unblock from blocking operation, instance state changed",
            "ERR max number of clients reached",
        ):
            get = self.queue.get()
            self.waiting().answer(Exception(text))
            self.assertNoResult(get)
            self.leave(get)
            self.nothing_left()

    def test_other_errors(self) -> None:
        """Other errors of the waiting connection fail the get."""
        get = self.queue.get()
        self.waiting().answer(Exception("WRONGTYPE Operation against a key"))
        self.failureResultOf(get, ResponseError)
        self.nothing_left()
