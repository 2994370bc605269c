"""Gets that wait across an outage, driven byte by byte: see the rooms of a service."""

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
from txthoonk.consumers._get_queue import FRESH
from txthoonk.errors import (
    ConnectionLost,
    Empty,
    FeedDoesNotExist,
    FeedTypeMismatch,
    ResponseError,
)


class PublisherLostTests(PatienceTestCase):
    def test_asking(self) -> None:
        """Whoever asks when the connection is lost asks again on the next one."""
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
        """A get that comes while there is no connection sends nothing, however long."""
        self.down()
        get = self.queue.get()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.up()
        self.asked(1)
        self.main.answer([b"5.5", 0, b"a", b"A"])
        self.assertEqual(self.successResultOf(get), "A")

    def test_waiting(self) -> None:
        """BLMOVE goes on; what it brings is taken as soon as there is a connection."""
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
        """What BLMOVE has brought is asked for again, if the answer to that was lost."""
        get = self.queue.get()
        self.waiting().answer(b"a")
        self.asked(1, b"a")
        self.down()
        self.up()
        self.asked(1, b"a")
        self.leave(get)

    def test_moved_long_ago(self) -> None:
        """But not later than maintenance may have put it back, and others taken it."""
        get = self.queue.get()
        waiting = self.waiting()
        self.down()
        waiting.answer(b"a")
        self.pass_time(FRESH + 1)
        self.up()
        self.asked(1)
        self.leave(get)

    def test_checked_when_it_is_back(self) -> None:
        """The outage may have ended the wait without a word: that is looked at at once."""
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
        """A get's own time counts during the outage."""
        get = self.queue.get(5)
        self.down()
        self.clock.advance(4.9)
        self.assertNoResult(get)
        self.clock.advance(0.1)
        self.failureResultOf(get, Empty)
        self.nothing_left()

    def test_cancelled(self) -> None:
        """A get that is cancelled during the outage leaves nothing, nor its connection."""
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
        """What BLMOVE has brought for it goes back to the front."""
        get = self.queue.get()
        waiting = self.waiting()
        self.down()
        waiting.answer(b"a")
        self.leave(get)
        self.nothing_left()
        self.up()
        self.assertEqual(self.main.sent(), [[b"queue/put_back", b"a", b""]])

    def test_delivered(self) -> None:
        """What was delivered is said on the next connection, not queued on this one."""
        get = self.queue.get()
        self.main.answer([b"5.5", 0, b"a", b"A"])
        self.successResultOf(get)
        self.down()
        self.pass_time(20)
        self.up()
        self.assertEqual(self.main.sent(), [[b"queue/delivered", b"a"]])

    def test_no_spinning(self) -> None:
        """A connection that is given up, but not gone yet, is not asked again and again."""
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
        """Other errors fail who waits."""
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
        """What passes is asked again after a moment, and more rarely the longer it lasts."""
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
        """Who may ask, and not wait, learns that; where it was allowed, the get goes on."""
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
        """A password or a rule that is being changed is not the end of a get that waits."""
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
        """A get that waits is not disturbed by the end of the feed; one that comes then fails."""
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
        """What is in the list of a missing feed stays there, and is asked for rarely."""
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
        """The line asks, and waits on another connection, after a moment."""
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
        """Where none can be had, attempts become rare; each of them asks."""
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
        """Who comes meanwhile takes what there is, and does not hasten the attempts."""
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
        """Nothing is left of a line for which nobody waits."""
        get = self.queue.get()
        lose(self.waiting().protocol)
        self.leave(get)
        self.nothing_left()

    def test_lost_with_the_publisher(self) -> None:
        """While the publisher has no connection, no attempt is made to wait."""
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
        """An attempt that takes too long is given up, and made again."""
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
        """So is one that connects, and says nothing."""
        get = self.queue.get()
        self.main.answer([b"5.5", 0])
        (waiting,) = self.endpoint.connections
        self.pass_time(REPLY)
        self.assertTrue(waiting.transport.disconnected)
        self.assertNoResult(get)
        self.leave(get)
        self.nothing_left()

    def test_passing_errors(self) -> None:
        """A server that starts, is full, or changes its role, is one to come back to."""
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
        """What will not pass fails who waits."""
        get = self.queue.get()
        self.waiting().answer(Exception("WRONGTYPE Operation against a key"))
        self.failureResultOf(get, ResponseError)
        self.nothing_left()
