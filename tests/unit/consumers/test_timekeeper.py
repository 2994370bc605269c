"""The timekeepers of job feeds, on a fake clock: when they look, and for whom."""

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
    """When it looks again, after what a look has told."""

    def setUp(self) -> None:
        super().setUp()
        self.sub = self.attend()

    def test_nothing(self) -> None:
        """Where nothing is delayed, and claims last for ever, it looks no more."""
        self.answer()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_next_due(self) -> None:
        """It looks when the next job is due, not before."""
        self.answer(due=1500)
        self.passed(1.5 + MARGIN)
        self.answer(count=1, due=700)
        self.passed(0.7 + MARGIN)
        self.answer(count=1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_overdue(self) -> None:
        """It does not look without a pause."""
        for due in (0, 1, -1000):
            self.answer(due=due)
            self.passed(LEAST_WAIT)

    def test_far_away(self) -> None:
        """It looks now and then, however far away the next job is."""
        self.answer(due=10**12)
        self.passed(MOST_WAIT)

    def test_many(self) -> None:
        """After as many as one call puts into the line it looks for more."""
        self.answer(count=MOST, due=60_000)
        self.passed(LEAST_WAIT)
        self.answer(count=MOST - 1, due=60_000)
        self.passed(60 + MARGIN)

    def test_oldest_claim(self) -> None:
        """It looks when the oldest claim gets too old."""
        self.answer(timeout=60_000, oldest=20_000)
        self.passed(40 + MARGIN)
        self.under_way(1, 0)

    def test_no_claim(self) -> None:
        """Where nothing is claimed, nothing can be too old before the timeout has passed."""
        self.answer(timeout=60_000)
        self.passed(60 + MARGIN)

    def test_no_timeout(self) -> None:
        """Where claims last for ever, their age does not matter."""
        self.answer(oldest=10**9)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.under_way(0, 0)

    def test_the_earlier_one(self) -> None:
        """Of a delayed job and a claim the earlier one counts."""
        self.answer(due=5_000, timeout=60_000, oldest=50_000)
        self.passed(5 + MARGIN)
        self.answer(due=50_000, timeout=60_000, oldest=55_000)
        self.passed(5 + MARGIN)

    def test_too_old(self) -> None:
        """Claims that have reached the timeout are ended; then it looks what comes next."""
        for oldest in (60_000, 60_001, 10**9):
            self.answer(due=1000, timeout=60_000, oldest=oldest)
            self.under_way(0, 1)
            self.clock.advance(1000)
            self.under_way(0, 1)
            self.passes.pop().callback(None)
            self.under_way(0)
            self.passed(LEAST_WAIT)

    def test_first_look(self) -> None:
        """If claims cannot be ended yet, it looks when they can."""
        self.answer(due=60_000, timeout=60_000, oldest=60_000)
        self.passes.pop().callback(30_000)
        self.passed(30 + MARGIN)

    def test_first_look_and_a_delayed_job(self) -> None:
        """Or when a delayed job is due, if that is earlier."""
        self.answer(due=1000, timeout=60_000, oldest=60_000)
        self.passes.pop().callback(30_000)
        self.passed(1 + MARGIN)

    def test_not_too_old_yet(self) -> None:
        """A millisecond before they are not."""
        self.answer(timeout=60_000, oldest=59_999)
        self.under_way(0)
        self.passed(LEAST_WAIT)

    def test_looked_meanwhile(self) -> None:
        """Who wants a look while there is one gets another one behind it."""
        self.keeper.look()
        self.keeper.look()
        self.answer(due=60_000)
        self.passed(LEAST_WAIT)
        self.answer(due=60_000)
        self.passed(60 + MARGIN)

    def test_looked_during_the_pass(self) -> None:
        """So does who wants one while claims are ended."""
        self.answer(timeout=60_000, oldest=60_000)
        self.keeper.look()
        self.under_way(0, 1)
        self.passes.pop().callback(None)
        self.passed(LEAST_WAIT)
        self.answer(due=60_000)
        self.passed(60 + MARGIN)

    def test_look_before_the_time(self) -> None:
        """A look takes the place of the one that was to come."""
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
    """What it hears of jobs that are due before all others."""

    def setUp(self) -> None:
        super().setUp()
        self.sub = self.attend()

    def test_earlier(self) -> None:
        """It looks when that job is due."""
        self.answer(due=60_000)
        self.sub.answer(notice(b"a", b"2000"))
        self.passed(2 + MARGIN)
        self.answer(count=1, due=58_000)
        self.passed(58 + MARGIN)

    def test_first(self) -> None:
        """So it does if nothing else is delayed."""
        self.answer()
        self.clock.advance(1000)
        self.sub.answer(notice(b"a", b"2000"))
        self.passed(2 + MARGIN)

    def test_later(self) -> None:
        """What is due later than what is known of does not matter."""
        self.answer(timeout=60_000, oldest=50_000)
        self.sub.answer(notice(b"a", b"20000"))
        self.passed(10 + MARGIN)

    def test_earlier_and_earlier(self) -> None:
        """Of several notices the earliest one counts; there is one look."""
        self.answer(due=60_000)
        for milliseconds in (b"30000", b"2000", b"10000", b"9000"):
            self.sub.answer(notice(b"a", milliseconds))
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.passed(2 + MARGIN)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_now(self) -> None:
        """What is due already is not waited for, but for a moment."""
        self.answer(due=60_000)
        self.sub.answer(notice(b"a", b"0"))
        self.passed(LEAST_WAIT)

    def test_far_away(self) -> None:
        """A time that is far away is no error."""
        self.answer()
        self.sub.answer(notice(b"a", b"9" * 30))
        self.passed(MOST_WAIT)

    def test_no_time(self) -> None:
        """Where none is told that can be read, it looks."""
        for parts in ((b"a",), (b"a", b""), (b"a", b"-5"), (b"a", b"soon"), (b"",)):
            self.answer(due=60_000)
            self.sub.answer(notice(*parts))
            self.passed(LEAST_WAIT)

    def test_while_it_looks(self) -> None:
        """The answer to a look under way may be older than the notice: it looks again."""
        self.sub.answer(notice(b"a", b"2000"))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.answer(due=60_000)
        self.passed(LEAST_WAIT)
        self.answer(due=1_500)
        self.passed(1.5 + MARGIN)

    def test_while_claims_are_ended(self) -> None:
        """So it does behind a pass."""
        self.answer(timeout=60_000, oldest=60_000)
        self.sub.answer(notice(b"a", b"2000"))
        self.under_way(0, 1)
        self.passes.pop().callback(None)
        self.passed(LEAST_WAIT)


class ConfigurationTests(KeeperTestCase):
    """What it hears of its feed, whose timeout may be another one afterwards."""

    def setUp(self) -> None:
        super().setUp()
        self.sub = self.attend()

    def test_own_feed(self) -> None:
        """When its feed gets a configuration it looks soon, in place of what was to come."""
        for channel in (CONFFEED, NEWFEED):
            self.answer(timeout=60_000)
            self.clock.advance(5)
            self.sub.answer(configured(b"j", channel))
            self.passed(SETTLING)
            self.answer(timeout=20_000, oldest=10_000)
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)
            self.passed(10 + MARGIN)

    def test_first_timeout(self) -> None:
        """So it does where it had nothing to wait for."""
        self.answer()
        self.sub.answer(configured(b"j"))
        self.passed(SETTLING)
        self.answer(timeout=20_000)
        self.passed(20 + MARGIN)

    def test_no_instance(self) -> None:
        """Who has done that does not matter, nor that it is not told."""
        self.answer()
        self.sub.answer([b"message", CONFFEED, b"j"])
        self.passed(SETTLING)
        self.answer()
        self.sub.answer([b"message", CONFFEED, b"j\0some\0thing"])
        self.passed(SETTLING)

    def test_other_feed(self) -> None:
        """What happens to other feeds is not for it."""
        self.answer(timeout=60_000)
        for channel in (CONFFEED, NEWFEED):
            for name in (b"other", b"jj", b"J", b""):
                self.sub.answer(configured(name, channel))
        self.passed(60 + MARGIN)

    def test_while_it_looks(self) -> None:
        """The answer to a look under way may be older: it looks again."""
        for channel in (CONFFEED, NEWFEED):
            self.sub.answer(configured(b"j", channel))
            self.under_way(1)
            self.answer(timeout=60_000)
            self.passed(LEAST_WAIT)
        self.answer(timeout=60_000)
        self.passed(60 + MARGIN)

    def test_while_claims_are_ended(self) -> None:
        """So it does behind a pass."""
        self.answer(timeout=60_000, oldest=60_000)
        self.sub.answer(configured(b"j"))
        self.under_way(0, 1)
        self.passes.pop().callback(None)
        self.passed(LEAST_WAIT)

    def test_nobody(self) -> None:
        """When nobody wants it any more, what is still told is nothing."""
        self.keeper.leave()
        self.looks.clear()
        self.sub.answer(configured(b"j"), configured(b"j", NEWFEED))
        self.nothing_left()


class AttendingTests(KeeperTestCase):
    def test_begin(self) -> None:
        """It looks at once, and again when it listens: what was told before is lost."""
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
        """If it listens before the first look is answered, it looks again as well."""
        self.keeper.attend()
        sub = self.endpoint.connections[-1]
        sub.answer(*CONFIRMED)
        self.answer(due=60_000)
        self.passed(LEAST_WAIT)

    def test_answered_at_once(self) -> None:
        """A look that needs no time is one like others."""
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
        """When nobody wants it any more nothing is left, wherever it was."""
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
        """A look under way is cancelled."""
        self.attend()
        self.keeper.leave()
        self.assertEqual(self.cancelled, [self.looks.pop()])
        self.nothing_left()

    def test_leave_during_the_pass(self) -> None:
        """So is a pass."""
        self.attend()
        self.answer(timeout=60_000, oldest=60_000)
        self.keeper.leave()
        self.assertEqual(self.cancelled, [self.passes.pop()])
        self.nothing_left()

    def test_leave_after_a_failure(self) -> None:
        """Nor is there another try."""
        self.attend()
        self.looks.pop().errback(ConnectionLost("no reply"))
        self.keeper.leave()
        self.nothing_left()

    def test_leave_before_it_listens(self) -> None:
        """Nor does it listen when the confirmation comes."""
        self.keeper.attend()
        self.answer(due=60_000)
        self.keeper.leave()
        sub = self.endpoint.connections[-1]
        self.assertEqual(sub.sent(), SUBSCRIBE + UNSUBSCRIBE)
        sub.answer(*CONFIRMED, notice(b"a", b"2000"))
        sub.answer(*UNCONFIRMED)
        self.nothing_left()

    def test_leave_while_it_connects(self) -> None:
        """Nor does it go on connecting."""
        self.endpoint.slow = True
        self.keeper.attend()
        self.answer()
        self.keeper.leave()
        self.nothing_left()

    def test_two(self) -> None:
        """It keeps the time once for all who want it, to the last one."""
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
        """It begins anew for who comes later; an answer to an earlier look is not waited for."""
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
