"""The timekeepers of job feeds, on a fake clock: when they look, and for which calls."""

from __future__ import annotations

from twisted.internet.defer import succeed

from tests.support.keepers import (
    CONFIRMED,
    SUBSCRIBE,
    UNCONFIRMED,
    UNSUBSCRIBE,
    KeeperTestCase,
    notice,
)
from tests.support.patience import CONFFEED, NEWFEED, configured
from txthoonk.consumers._deadlines import LEAST_WAIT, MARGIN, MOST, MOST_WAIT, SETTLING, Timekeeper
from txthoonk.errors import ConnectionLost


class TimerTests(KeeperTestCase):
    """The time of the next look, which follows from the answer to the last one."""

    def setUp(self) -> None:
        super().setUp()
        self.sub = self.attend()

    def test_nothing(self) -> None:
        """With nothing delayed and no timeout, the timekeeper does not look again."""
        self.answer()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_next_due(self) -> None:
        """The timekeeper looks when the next job is due, not before."""
        self.answer(due=1500)
        self.passed(1.5 + MARGIN)
        self.answer(count=1, due=700)
        self.passed(0.7 + MARGIN)
        self.answer(count=1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_overdue(self) -> None:
        """The timekeeper pauses before it looks again, even when a job is overdue."""
        for due in (0, 1, -1000):
            self.answer(due=due)
            self.passed(LEAST_WAIT)

    def test_far_away(self) -> None:
        """The timekeeper looks after MOST_WAIT at the latest, however far away the next job is."""
        self.answer(due=10**12)
        self.passed(MOST_WAIT)

    def test_many(self) -> None:
        """After a look that put as many jobs into the line as one call can, it looks for more."""
        self.answer(count=MOST, due=60_000)
        self.passed(LEAST_WAIT)
        self.answer(count=MOST - 1, due=60_000)
        self.passed(60 + MARGIN)

    def test_oldest_claim(self) -> None:
        """The timekeeper looks when the oldest claim reaches the timeout."""
        self.answer(timeout=60_000, oldest=20_000)
        self.passed(40 + MARGIN)
        self.under_way(1, 0)

    def test_no_claim(self) -> None:
        """Without a claim, no claim can reach the timeout before that time has passed."""
        self.answer(timeout=60_000)
        self.passed(60 + MARGIN)

    def test_no_timeout(self) -> None:
        """Without a timeout, the age of claims does not matter."""
        self.answer(oldest=10**9)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.under_way(0, 0)

    def test_the_earlier_one(self) -> None:
        """The earlier of a delayed job and a claim sets the time of the next look."""
        self.answer(due=5_000, timeout=60_000, oldest=50_000)
        self.passed(5 + MARGIN)
        self.answer(due=50_000, timeout=60_000, oldest=55_000)
        self.passed(5 + MARGIN)

    def test_too_old(self) -> None:
        """Claims that have reached the timeout are ended; then the timekeeper looks again."""
        for oldest in (60_000, 60_001, 10**9):
            self.answer(due=1000, timeout=60_000, oldest=oldest)
            self.under_way(0, 1)
            self.clock.advance(1000)
            self.under_way(0, 1)
            self.passes.pop().callback(None)
            self.under_way(0)
            self.passed(LEAST_WAIT)

    def test_first_look(self) -> None:
        """If claims cannot be ended yet, the timekeeper looks when they can."""
        self.answer(due=60_000, timeout=60_000, oldest=60_000)
        self.passes.pop().callback(30_000)
        self.passed(30 + MARGIN)

    def test_first_look_and_a_delayed_job(self) -> None:
        """If claims cannot be ended yet, and a delayed job is due earlier, that job counts."""
        self.answer(due=1000, timeout=60_000, oldest=60_000)
        self.passes.pop().callback(30_000)
        self.passed(1 + MARGIN)

    def test_not_too_old_yet(self) -> None:
        """Claims are not ended a millisecond before the timeout."""
        self.answer(timeout=60_000, oldest=59_999)
        self.under_way(0)
        self.passed(LEAST_WAIT)

    def test_looked_meanwhile(self) -> None:
        """A look that is requested during another one follows it."""
        self.keeper.look()
        self.keeper.look()
        self.answer(due=60_000)
        self.passed(LEAST_WAIT)
        self.answer(due=60_000)
        self.passed(60 + MARGIN)

    def test_looked_during_the_pass(self) -> None:
        """A look that is requested while claims are ended follows that pass."""
        self.answer(timeout=60_000, oldest=60_000)
        self.keeper.look()
        self.under_way(0, 1)
        self.passes.pop().callback(None)
        self.passed(LEAST_WAIT)
        self.answer(due=60_000)
        self.passed(60 + MARGIN)

    def test_look_before_the_time(self) -> None:
        """A look replaces the one that was scheduled."""
        self.answer(due=5_000)
        self.clock.advance(1)
        self.keeper.look()
        self.answer(due=4_000)
        self.passed(4 + MARGIN)
        self.answer(due=5_000)
        self.keeper.look()
        self.answer()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class NoticeTests(KeeperTestCase):
    """Notices of jobs that are due before all others."""

    def setUp(self) -> None:
        super().setUp()
        self.sub = self.attend()

    def test_earlier(self) -> None:
        """The timekeeper looks when the job of the notice is due."""
        self.answer(due=60_000)
        self.sub.answer(notice(b"a", b"2000"))
        self.passed(2 + MARGIN)
        self.answer(count=1, due=58_000)
        self.passed(58 + MARGIN)

    def test_first(self) -> None:
        """A notice counts when nothing else is delayed."""
        self.answer()
        self.clock.advance(1000)
        self.sub.answer(notice(b"a", b"2000"))
        self.passed(2 + MARGIN)

    def test_later(self) -> None:
        """A notice of a job that is due after the next look changes nothing."""
        self.answer(timeout=60_000, oldest=50_000)
        self.sub.answer(notice(b"a", b"20000"))
        self.passed(10 + MARGIN)

    def test_earlier_and_earlier(self) -> None:
        """The earliest of several notices counts; there is one look."""
        self.answer(due=60_000)
        for milliseconds in (b"30000", b"2000", b"10000", b"9000"):
            self.sub.answer(notice(b"a", milliseconds))
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.passed(2 + MARGIN)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_now(self) -> None:
        """A job that is due already causes a look after a short pause."""
        self.answer(due=60_000)
        self.sub.answer(notice(b"a", b"0"))
        self.passed(LEAST_WAIT)

    def test_far_away(self) -> None:
        """A time that is far away is no error."""
        self.answer()
        self.sub.answer(notice(b"a", b"9" * 30))
        self.passed(MOST_WAIT)

    def test_no_time(self) -> None:
        """A notice without a readable time causes a look."""
        for parts in ((b"a",), (b"a", b""), (b"a", b"-5"), (b"a", b"soon"), (b"",)):
            self.answer(due=60_000)
            self.sub.answer(notice(*parts))
            self.passed(LEAST_WAIT)

    def test_while_it_looks(self) -> None:
        """The answer to a pending look may be older than a notice, so another look follows."""
        self.sub.answer(notice(b"a", b"2000"))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.answer(due=60_000)
        self.passed(LEAST_WAIT)
        self.answer(due=1_500)
        self.passed(1.5 + MARGIN)

    def test_while_claims_are_ended(self) -> None:
        """A notice that arrives while claims are ended causes another look after that pass."""
        self.answer(timeout=60_000, oldest=60_000)
        self.sub.answer(notice(b"a", b"2000"))
        self.under_way(0, 1)
        self.passes.pop().callback(None)
        self.passed(LEAST_WAIT)


class ConfigurationTests(KeeperTestCase):
    """Configuration events of the feed, which may change its timeout."""

    def setUp(self) -> None:
        super().setUp()
        self.sub = self.attend()

    def test_own_feed(self) -> None:
        """A new configuration of the feed causes a look soon, which replaces the scheduled one."""
        for channel in (CONFFEED, NEWFEED):
            self.answer(timeout=60_000)
            self.clock.advance(5)
            self.sub.answer(configured(b"j", channel))
            self.passed(SETTLING)
            self.answer(timeout=20_000, oldest=10_000)
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)
            self.passed(10 + MARGIN)

    def test_first_timeout(self) -> None:
        """A new configuration causes a look even when there was nothing to wait for."""
        self.answer()
        self.sub.answer(configured(b"j"))
        self.passed(SETTLING)
        self.answer(timeout=20_000)
        self.passed(20 + MARGIN)

    def test_no_instance(self) -> None:
        """The instance in a configuration event does not matter, and may be absent."""
        self.answer()
        self.sub.answer([b"message", CONFFEED, b"j"])
        self.passed(SETTLING)
        self.answer()
        self.sub.answer([b"message", CONFFEED, b"j\0some\0thing"])
        self.passed(SETTLING)

    def test_other_feed(self) -> None:
        """Configuration events of other feeds are ignored."""
        self.answer(timeout=60_000)
        for channel in (CONFFEED, NEWFEED):
            for name in (b"other", b"jj", b"J", b""):
                self.sub.answer(configured(name, channel))
        self.passed(60 + MARGIN)

    def test_while_it_looks(self) -> None:
        """The answer to a pending look may be older than a configuration event: it looks again."""
        for channel in (CONFFEED, NEWFEED):
            self.sub.answer(configured(b"j", channel))
            self.under_way(1)
            self.answer(timeout=60_000)
            self.passed(LEAST_WAIT)
        self.answer(timeout=60_000)
        self.passed(60 + MARGIN)

    def test_while_claims_are_ended(self) -> None:
        """A configuration event that arrives while claims are ended causes another look."""
        self.answer(timeout=60_000, oldest=60_000)
        self.sub.answer(configured(b"j"))
        self.under_way(0, 1)
        self.passes.pop().callback(None)
        self.passed(LEAST_WAIT)

    def test_nobody(self) -> None:
        """After the last call leaves, configuration events are ignored."""
        self.keeper.leave()
        self.looks.clear()
        self.sub.answer(configured(b"j"), configured(b"j", NEWFEED))
        self.nothing_left()


class AttendingTests(KeeperTestCase):
    def test_begin(self) -> None:
        """The timekeeper looks at once, and again once subscribed: it missed earlier messages."""
        self.keeper.attend()
        self.assertEqual(list(self.room.outages.returning), [self.keeper])
        self.answer(due=60_000)
        sub = self.endpoint.connections[-1]
        self.assertEqual(sub.sent(), SUBSCRIBE)
        sub.answer(*CONFIRMED[:-1])
        self.under_way(0)
        sub.answer(CONFIRMED[-1])
        self.answer(due=50_000)
        self.passed(50 + MARGIN)

    def test_listening_before_the_answer(self) -> None:
        """A confirmation before the answer to the first look causes a second look."""
        self.keeper.attend()
        sub = self.endpoint.connections[-1]
        sub.answer(*CONFIRMED)
        self.answer(due=60_000)
        self.passed(LEAST_WAIT)

    def test_answered_at_once(self) -> None:
        """A look whose answer is available at once is handled like any other."""
        answers = [[0, "2000", "0", None], [0, "1000", "0", None], [0, "3000", "0", None]]
        keeper = Timekeeper(self.room, "x", lambda: succeed(answers.pop()), self.expire)
        self.endpoint.slow = True
        keeper.attend()
        self.clock.advance(3 + MARGIN)
        self.assertEqual(len(answers), 1)
        self.clock.advance(1 + MARGIN)
        self.assertEqual(answers, [])
        keeper.leave()
        self.nothing_left()

    def test_leave(self) -> None:
        """After the last call leaves, nothing stays subscribed or scheduled."""
        sub = self.attend()
        self.answer(due=60_000)
        sub.answer(notice(b"a", b"2000"))
        self.keeper.leave()
        self.assertEqual(sub.sent(), UNSUBSCRIBE)
        self.nothing_left()
        self.clock.advance(1000)
        self.keeper.look()
        self.under_way(0)

    def test_leave_while_it_looks(self) -> None:
        """Leaving cancels a pending look."""
        self.attend()
        self.keeper.leave()
        self.assertEqual(self.cancelled, [self.looks.pop()])
        self.nothing_left()

    def test_leave_during_the_pass(self) -> None:
        """Leaving cancels a pending pass."""
        self.attend()
        self.answer(timeout=60_000, oldest=60_000)
        self.keeper.leave()
        self.assertEqual(self.cancelled, [self.passes.pop()])
        self.nothing_left()

    def test_leave_after_a_failure(self) -> None:
        """Leaving after a failed look cancels the next attempt."""
        self.attend()
        self.looks.pop().errback(ConnectionLost("no reply"))
        self.keeper.leave()
        self.nothing_left()

    def test_leave_before_it_listens(self) -> None:
        """After leaving, a late confirmation has no effect."""
        self.keeper.attend()
        self.answer(due=60_000)
        self.keeper.leave()
        sub = self.endpoint.connections[-1]
        self.assertEqual(sub.sent(), SUBSCRIBE + UNSUBSCRIBE)
        sub.answer(*CONFIRMED, notice(b"a", b"2000"))
        sub.answer(*UNCONFIRMED)
        self.nothing_left()

    def test_leave_while_it_connects(self) -> None:
        """Leaving cancels an attempt to connect."""
        self.endpoint.slow = True
        self.keeper.attend()
        self.answer()
        self.keeper.leave()
        self.nothing_left()

    def test_two(self) -> None:
        """Several calls share one timekeeper, until the last one leaves."""
        sub = self.attend()
        self.keeper.attend()
        self.answer(due=60_000)
        self.assertEqual(sub.sent(), [])
        self.keeper.leave()
        self.passed(60 + MARGIN)
        self.answer(due=60_000)
        self.keeper.leave()
        self.nothing_left()

    def test_again(self) -> None:
        """A timekeeper can begin again; it does not wait for an answer to an earlier look."""
        sub = self.attend()
        self.keeper.leave()
        self.assertEqual(self.cancelled, [self.looks.pop()])
        sub.sent()
        self.keeper.attend()
        self.assertEqual(sub.sent(), SUBSCRIBE)
        self.answer(due=60_000)
        sub.answer(*UNCONFIRMED, *CONFIRMED)
        self.answer(due=60_000)
        self.passed(60 + MARGIN)
        self.answer()
        self.keeper.leave()
        self.nothing_left()
